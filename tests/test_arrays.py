"""Files that users bring, and files that are never half written."""

from __future__ import annotations

import stat
from pathlib import Path

import numpy as np
import pytest

from exporter.arrays import check_writable, pick, read_arrays, write_atomically
from exporter.errors import BadInput


def test_npz_and_npy(tmp_path: Path) -> None:
    np.savez(tmp_path / "two.npz", a=np.arange(3), b=np.ones((2, 2)))
    np.save(tmp_path / "one.npy", np.arange(4))
    assert set(read_arrays(tmp_path / "two.npz")) == {"a", "b"}
    assert read_arrays(tmp_path / "one.npy")["x"].tolist() == [0, 1, 2, 3]


def test_a_flipped_byte_in_compressed_data_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez_compressed(path, x=np.random.default_rng(0).integers(0, 9, 5000))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(BadInput, match="is damaged"):
        read_arrays(path)


def test_pick_prefers_the_name_and_lists_the_keys() -> None:
    arrays = {"x": np.zeros(1), "image": np.ones(1)}
    assert pick(Path("f"), arrays, "image", only=True)[0] == 1
    assert pick(Path("f"), arrays, "other", only=True)[0] == 0
    with pytest.raises(BadInput, match="no array for the input 'other'") as caught:
        pick(Path("f"), arrays, "other", only=False)
    assert caught.value.value == "keys: x, image"


def test_a_write_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "out.bin"
    path.write_bytes(b"old")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new" and list(tmp_path.iterdir()) == [path]
    assert stat.S_IMODE(path.stat().st_mode) & stat.S_IRUSR


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(BadInput, match="cannot write") as caught:
        write_atomically(tmp_path / "out.bin", b"data")
    assert caught.value.value == "No space left on device" and list(tmp_path.iterdir()) == []


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent" / "out.bin"):
        with pytest.raises(BadInput, match="cannot write"):
            check_writable(path)
    check_writable(tmp_path / "fine.bin")
    assert list(tmp_path.iterdir()) == []
