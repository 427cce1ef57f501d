"""Input vectors: their kinds, their reproducibility, and the files that users bring."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporter.errors import BadInput
from exporter.hil.vectors import (
    KINDS,
    dequantize,
    kind_of,
    load_vectors,
    make_vectors,
    quantize,
)


@dataclass(frozen=True)
class Input:
    name: str = "image"
    shape: tuple[int, ...] = (1, 6, 5, 3)
    dtype: str = "int8"
    scale: float = 0.5
    zero_point: int = -7


IMAGE, VECTOR = Input(), Input("vector", (1, 640), zero_point=83)


def by_kind() -> dict[str, np.ndarray[Any, Any]]:
    vectors = make_vectors([IMAGE], len(KINDS))
    return {kind_of(i): v[0] for i, v in enumerate(vectors)}


def test_every_vector_fits_its_inputs() -> None:
    for vector in make_vectors([IMAGE, VECTOR], 40):
        assert [v.shape for v in vector] == [IMAGE.shape, VECTOR.shape]
        assert all(v.dtype == np.int8 and v.flags.c_contiguous for v in vector)


def test_the_kinds_are_what_they_say() -> None:
    v = by_kind()
    assert (v["lowest"] == -128).all() and (v["highest"] == 127).all()
    assert (v["zero"] == IMAGE.zero_point).all()
    assert set(np.unique(v["alternating"])) == {-128, 127}
    assert (v["alternating"][0, 1:] != v["alternating"][0, :-1]).all()
    assert (np.diff(v["ramp"].ravel().astype(int)) > 0).all()
    assert v["ramp"].ravel()[[0, -1]].tolist() == [-128, 127]
    assert (np.diff(v["sawtooth"].ravel().astype(int)) == -1).all()
    assert (v["planes"] == v["planes"][0, 0, 0]).all() and len(np.unique(v["planes"])) > 1
    assert (v["rows"] == v["rows"][:, :, :1, :1]).all() and len(np.unique(v["rows"])) > 1
    assert 0 < (v["spikes"] != IMAGE.zero_point).mean() < 0.2
    assert len(np.unique(v["noise"])) > 60
    steps = np.abs(np.diff(v["smooth"].astype(int), axis=1))
    assert (
        np.ptp(v["smooth"].astype(int)) > 30
        and steps.mean() < np.abs(np.diff(v["noise"].astype(int), axis=1)).mean()
    )


def test_default_run_has_every_kind() -> None:
    assert len(KINDS) <= 20, "verify sends 20 vectors by default"


def test_same_seed_same_vectors_and_a_longer_run_starts_alike() -> None:
    short, long = make_vectors([IMAGE, VECTOR], 15, 3), make_vectors([IMAGE, VECTOR], 30, 3)
    for a, b in zip(short, long, strict=False):
        assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
    other = make_vectors([IMAGE, VECTOR], 15, 4)
    assert not np.array_equal(short[0][0], other[0][0])


def test_mixed_vectors_give_each_input_its_own_kind() -> None:
    pairs = make_vectors([VECTOR, VECTOR], 60)[len(KINDS) :]
    flat = {(np.ptp(a.astype(int)) == 0, np.ptp(b.astype(int)) == 0) for a, b in pairs}
    assert {(True, False), (False, True)} <= flat


@pytest.mark.parametrize("shape", [(1,), (1, 1), (1, 1, 1, 1), (1, 2), (2, 3, 1, 1, 2)])
def test_small_and_odd_shapes(shape: tuple[int, ...]) -> None:
    assert all(v[0].shape == shape for v in make_vectors([Input(shape=shape)], 30))


def test_other_dtypes_are_refused() -> None:
    with pytest.raises(BadInput, match="'image' is not int8"):
        make_vectors([Input(dtype="float32")], 1)


def test_quantize_rounds_halves_away_from_zero_and_saturates() -> None:
    values = np.array([0.25, -0.25, 0.24, 1000, -1000, 0.75], np.float32)
    assert quantize(values, IMAGE).tolist() == [-6, -8, -7, 127, -128, -5]
    q = np.arange(-128, 128).astype(np.int8)
    assert np.array_equal(quantize(dequantize(q, VECTOR), VECTOR), q)


# --- files ---------------------------------------------------------------------------------------


def save(path: Path, **arrays: np.ndarray[Any, Any]) -> Path:
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize("key", ["image", "x", "whatever"])
@pytest.mark.parametrize("shape", [(4, 6, 5, 3), (4, 1, 6, 5, 3)])
def test_int8_arrays_are_taken_as_they_are(
    tmp_path: Path, key: str, shape: tuple[int, ...]
) -> None:
    data = np.random.default_rng(0).integers(-128, 128, shape).astype(np.int8)
    vectors = load_vectors(save(tmp_path / "v.npz", **{key: data}), [IMAGE])
    assert len(vectors) == 4 and vectors[2][0].shape == IMAGE.shape
    assert np.array_equal(vectors[2][0].ravel(), data[2].ravel())


def test_floats_are_quantised(tmp_path: Path) -> None:
    vectors = load_vectors(save(tmp_path / "v.npz", x=np.ones((2, 640), np.float32)), [VECTOR])
    assert (vectors[1][0] == 85).all()


def test_npy_and_two_inputs(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.zeros((3, 640), np.int8))
    assert len(load_vectors(tmp_path / "v.npy", [VECTOR])) == 3
    both = save(
        tmp_path / "both.npz", vector=np.zeros((3, 640), np.int8), image=np.ones((3, 6, 5, 3), "i1")
    )
    assert [v.shape for v in load_vectors(both, [IMAGE, VECTOR])[0]] == [(1, 6, 5, 3), (1, 640)]


def bad_files(folder: Path) -> dict[str, tuple[Path, str]]:
    (folder / "text.npz").write_text("not numpy")
    (folder / "empty.npz").write_bytes(b"")
    whole = save(folder / "whole.npz", x=np.zeros((4, 6, 5, 3), np.int8)).read_bytes()
    (folder / "half.npz").write_bytes(whole[: len(whole) // 2])
    np.save(folder / "pickle.npy", np.array([{}], object), allow_pickle=True)
    nan = np.full((2, 6, 5, 3), np.nan, np.float32)
    return {
        "absent": (folder / "absent.npz", "cannot read"),
        "text": (folder / "text.npz", "not a numpy file"),
        "empty": (folder / "empty.npz", "not a numpy file"),
        "half": (folder / "half.npz", "not a numpy file"),
        "pickle": (folder / "pickle.npy", "not a numpy file"),
        "shape": (save(folder / "s.npz", x=np.zeros((4, 5, 6, 3), "i1")), "does not fit the input"),
        "dtype": (save(folder / "d.npz", x=np.zeros((4, 6, 5, 3), "u1")), "does not fit the input"),
        "scalar": (save(folder / "0.npz", x=np.array(3, "i1")), "does not fit the input"),
        "none": (save(folder / "n.npz", x=np.zeros((0, 6, 5, 3), "i1")), "do not give whole"),
        "nan": (save(folder / "nan.npz", x=nan), "not numbers"),
        "keys": (save(folder / "k.npz", a=nan, b=nan), "no array for the input"),
    }


@pytest.mark.parametrize(
    "case",
    [
        "absent",
        "text",
        "empty",
        "half",
        "pickle",
        "shape",
        "dtype",
        "scalar",
        "none",
        "nan",
        "keys",
    ],
)
def test_bad_files_are_refused(tmp_path: Path, case: str) -> None:
    path, message = bad_files(tmp_path)[case]
    with pytest.raises(BadInput, match=message) as caught:
        load_vectors(path, [IMAGE])
    assert caught.value.exit_code == 2 and caught.value.allowed


def test_inputs_of_different_lengths_are_refused(tmp_path: Path) -> None:
    path = save(
        tmp_path / "v.npz", image=np.zeros((3, 6, 5, 3), "i1"), vector=np.zeros((2, 640), "i1")
    )
    with pytest.raises(BadInput, match="do not give whole vectors"):
        load_vectors(path, [IMAGE, VECTOR])
