"""Metadata go into the flatbuffer and come out again; the model stays what it was."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tflite

from exporter.convert.finish import ConvertOptions, stated_preprocessing, with_metadata
from exporter.convert.metadata import (
    add_metadata,
    check_fits,
    label_doubts,
    load_metadata,
    where_it_fits,
    with_labels,
)
from exporter.convert.settings import ConvertSettings
from exporter.errors import BadInput
from exporter.graph.ir import Graph
from exporter.graph.metadata import ENTRY, ModelMetadata, OutputMetadata
from exporter.graph.tflite_reader import read
from exporter.oracle import Oracle
from exporter.samples import ModelInput, Preprocessing, SampleOptions, load_samples
from tests.flatbuffer_builder import ModelBuilder
from tests.hil.support import nanoexport, picture_model, saved

PICTURE = ModelMetadata.model_validate(
    {
        "title": "pictures",
        "inputs": [{"name": "camera", "preprocessing": {"mean": [1, 2], "scale": 0.5}}],
        "outputs": [{"labels": ["cat", "dog", "none"]}],
    }
)


def entries(data: bytes) -> list[str]:
    model = tflite.Model.GetRootAs(data, 0)
    return [model.Metadata(i).Name().decode() for i in range(model.MetadataLength())]


def constants(data: bytes) -> list[tuple[int, bytes]]:
    """Position of each buffer's data in the file, and the data."""
    model = tflite.Model.GetRootAs(data, 0)
    buffers = [model.Buffers(i) for i in range(model.BuffersLength())]
    return [
        (b._tab.Vector(b._tab.Offset(4)), b.DataAsNumpy().tobytes())
        for b in buffers
        if b.DataLength()
    ]


def same_graph(one: Graph, other: Graph) -> bool:
    tensors = zip(one.tensors.values(), other.tensors.values(), strict=True)
    return (one.ops, one.inputs, one.outputs) == (other.ops, other.inputs, other.outputs) and all(
        (a.name, a.shape, a.dtype, a.quantization) == (b.name, b.shape, b.dtype, b.quantization)
        and a.is_constant == b.is_constant
        and (not a.is_constant or np.array_equal(a.constant, b.constant))
        for a, b in tensors
    )


def test_metadata_are_read_back_and_the_graph_is_the_same() -> None:
    data = picture_model()
    graph = read(add_metadata(data, PICTURE))
    assert graph.metadata == PICTURE and same_graph(graph, read(data))


def test_a_model_without_metadata_has_none() -> None:
    assert read(picture_model()).metadata is None


def test_the_same_bytes_every_time() -> None:
    assert add_metadata(picture_model(), PICTURE) == add_metadata(picture_model(), PICTURE)


@pytest.mark.parametrize("length", range(1, 34, 5))
def test_constants_stay_aligned_to_16_bytes(length: int) -> None:
    data = picture_model()
    made = add_metadata(data, ModelMetadata(title="x" * length))
    assert all(position % 16 == 0 for position, _ in constants(made))
    assert [blob for _, blob in constants(made)][:-1] == [blob for _, blob in constants(data)]


def test_metadata_are_replaced_and_others_kept() -> None:
    foreign = _with_entry(picture_model(), "min_runtime_version")
    made = add_metadata(add_metadata(foreign, PICTURE), ModelMetadata(title="new"))
    assert entries(made) == ["min_runtime_version", ENTRY]
    assert read(made).metadata == ModelMetadata(title="new")


def _with_entry(data: bytes, name: str) -> bytes:
    """`data` with an entry of another name, as long as ours: renamed where it is stored."""
    filler = (ENTRY + "_" * len(name))[: len(name)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("exporter.convert.metadata.ENTRY", filler)
        return add_metadata(data, ModelMetadata(title="foreign")).replace(
            filler.encode(), name.encode()
        )


def test_the_oracle_runs_the_file_as_before() -> None:
    data = picture_model()
    inputs = [np.random.default_rng(0).integers(-128, 128, (1, 6, 6, 2)).astype(np.int8)]
    outputs = []
    for model in (data, add_metadata(data, PICTURE)):
        with Oracle(model) as oracle:
            outputs.append(oracle.run(inputs))
    assert all(np.array_equal(a, b) for a, b in zip(*outputs, strict=True))


def test_signatures_and_version_are_kept() -> None:
    old, new = (
        tflite.Model.GetRootAs(d, 0)
        for d in (picture_model(), add_metadata(picture_model(), PICTURE))
    )
    assert new.Version() == old.Version() and new.Description() == old.Description()
    assert new.OperatorCodesLength() == old.OperatorCodesLength()


@pytest.mark.parametrize("data", [b"", b"no flatbuffer at all", picture_model()[:200]], ids=len)
def test_what_is_no_flatbuffer_gets_no_metadata(data: bytes) -> None:
    with pytest.raises(BadInput):
        add_metadata(data, PICTURE)


def test_damaged_flatbuffers_are_refused_or_survive() -> None:
    rng = np.random.default_rng(7)
    model = add_metadata(picture_model(), PICTURE)
    for _ in range(400):
        at = int(rng.integers(2, len(model) // 4)) * 4
        word = int(rng.choice([0, 1, 2**31 - 1, 2**32 - 1])).to_bytes(4, "little")
        damaged = model[:at] + word + model[at + 4 :]
        with contextlib.suppress(BadInput):
            read(add_metadata(damaged, ModelMetadata(title="new")))


# --- what others wrote ---------------------------------------------------------------------------


def stored(text: bytes) -> bytes:
    """A model whose entry has `text`, which nobody checked."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("exporter.convert.metadata.encode", lambda _: text)
        return add_metadata(picture_model(), ModelMetadata())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"\xff\x00", "decode"),
        (b"{}", "schema_version"),
        (b"", "Expecting value"),
        (b'{"schema_version":1,"outputs":[{"labels":["a"]}]}', "1 labels for 3 entries"),
        (b'{"schema_version":1,"inputs":[{},{}]}', "2 inputs"),
        (b'{"schema_version":1,"\\u001b[2J":1}', "Extra inputs"),
    ],
)
def test_foreign_metadata_are_ignored_with_a_warning(
    text: bytes, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        graph = read(stored(text), name="net")
    assert graph.metadata is None and graph.ops
    (record,) = caplog.records
    message = record.getMessage()
    assert "the metadata of 'net' is ignored" in message and reason in message
    assert message.isprintable()


def test_an_entry_without_its_buffer_is_ignored() -> None:
    data = bytearray(add_metadata(picture_model(), PICTURE))
    entry = tflite.Model.GetRootAs(data, 0).Metadata(0)._tab
    at = entry.Pos + entry.Offset(6)
    data[at : at + 4] = b"\xff\xff\xff\x7f"
    assert read(bytes(data)).metadata is None


# --- the user's file -----------------------------------------------------------------------------


def test_yaml_and_json_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text("title: t\noutputs:\n  - labels: [a, b]\n")
    (tmp_path / "m.json").write_text('{"title": "t", "outputs": [{"labels": ["a", "b"]}]}')
    one, other = (load_metadata(tmp_path / name) for name in ("m.yaml", "m.json"))
    assert one == other and one.outputs[0].labels == ("a", "b")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("titel: x", ["titel", "allowed", "title, description"]),
        ("outputs: [{labels: [yes, no]}]", ["outputs.0.labels.0", "valid string"]),
        ("inputs: {mean: 1}", ["inputs"]),
        ("inputs: [{preprocessing: {mean: much}}]", ["inputs.0.preprocessing.mean"]),
        ("a: [", ["cannot parse"]),
        ("", ["nothing"]),
        ("just text", ["str"]),
        ("!!python/object:os.system {}", ["cannot parse"]),
    ],
)
def test_a_wrong_file_is_refused_with_the_place(
    text: str, words: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(text)
    with pytest.raises(BadInput) as caught:
        load_metadata(path)
    assert all(word in str(caught.value) for word in [str(path), *words])


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"none\.yaml"):
        load_metadata(tmp_path / "none.yaml")


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(BadInput, match="cannot parse"):
        load_metadata(tmp_path / "m.yaml")


def test_metadata_that_do_not_fit_are_refused() -> None:
    given = ModelMetadata.model_validate({"outputs": [{"labels": ["a", "b"]}]})
    with pytest.raises(BadInput) as caught:
        check_fits(given, read(picture_model()))
    assert caught.value.value == "output 0: 2 labels for 3 entries"


@pytest.mark.parametrize(
    ("outputs", "labels"),
    [
        ([], ("a", "b")),
        ([{"name": "animal"}], ("a", "b")),
        ([{"labels": ["x", "y"]}], ("x", "y")),
        ([{"kind": "embedding"}], ()),
    ],
)
def test_folders_name_the_classes_unless_the_user_did(
    outputs: Any, labels: tuple[str, ...]
) -> None:
    given = ModelMetadata.model_validate({"outputs": outputs})
    assert with_labels(given, ("a", "b")).outputs[0].labels == labels


@pytest.mark.parametrize(
    ("numbers", "stated"),
    [
        ({"scale": 0.5, "mean": [1, 2], "std": [1]}, {"mean": (2, 4), "std": (2,)}),
        ({"mean": [1, 2, 3]}, None),
        ({"order": "bgr"}, None),
    ],
    ids=["by channel", "of more columns than channels", "an order of 3 of 2 channels"],
)
def test_the_preprocessing_of_the_samples_is_stated_where_it_fits(
    numbers: dict[str, Any], stated: dict[str, Any] | None, tmp_path: Path
) -> None:
    samples = SampleOptions(preprocessing=Preprocessing.by_numbers(**numbers))
    calibration = load_samples(zeros(tmp_path), [ModelInput("image", (6, 6, 2), "float32")])
    model = with_metadata(
        picture_model(), Path(), "x.npz", calibration, ConvertSettings(), ConvertOptions(samples)
    )
    metadata = read(model).metadata
    assert metadata is not None
    told = [i.preprocessing.model_dump(exclude_defaults=True) for i in metadata.inputs]
    assert told == ([] if stated is None else [stated])


def zeros(folder: Path) -> Path:
    np.save(folder / "x.npy", np.zeros((1, 6, 6, 2), np.float32))
    return folder / "x.npy"


def test_blue_first_is_stated() -> None:
    assert stated_preprocessing(Preprocessing.to_range("0..255", "bgr")).order == "BGR"


@pytest.mark.parametrize(
    ("names", "labels"),
    [(("a", "b", "c"), ("a", "b", "c")), (("a", "b"), ()), (("", "b", "c"), ())],
    ids=["one for each entry", "too few", "an empty one"],
)
def test_classes_of_samples_that_are_no_labels_of_the_model_are_left_out(
    names: tuple[str, ...], labels: tuple[str, ...]
) -> None:
    told = ModelMetadata(outputs=(OutputMetadata(name="animal"),))
    known = where_it_fits(with_labels(told, names), told, read(picture_model()))
    assert known.outputs[0].labels == labels


@pytest.mark.parametrize(
    ("labels", "classes", "doubted"),
    [
        (("yes", "no"), ("no", "yes"), True),
        (("no", "yes"), ("no", "yes"), False),
        (("Yes!", "No."), ("no", "yes"), False),
        (("yes", "no"), None, False),
        ((), ("no", "yes"), False),
    ],
)
def test_labels_in_another_order_than_the_classes_are_doubted(
    labels: tuple[str, ...], classes: tuple[str, ...] | None, doubted: bool
) -> None:
    metadata = ModelMetadata(outputs=(OutputMetadata(labels=labels),))
    doubts = label_doubts(metadata, classes)
    assert bool(doubts) == doubted and all("yes, no" in line for line in doubts)


# --- inspect -------------------------------------------------------------------------------------


@pytest.mark.parametrize("board", [[], ["--board", "host"]])
def test_inspect_shows_the_metadata(board: list[str], tmp_path: Path) -> None:
    path = saved(tmp_path, add_metadata(picture_model(), PICTURE))
    run = nanoexport("inspect", path, *board)
    assert run.code == 0, run.err
    assert "input 0      camera; mean 1, 2; std 2" in run.out
    assert "output 0     classes; cat, dog, none" in run.out
    document = nanoexport("inspect", path, *board, "--json").document
    assert document["metadata"]["outputs"][0]["labels"] == ["cat", "dog", "none"]


def test_inspect_of_a_model_without_metadata(tmp_path: Path) -> None:
    run = nanoexport("inspect", saved(tmp_path, picture_model()), "--json")
    assert run.document["metadata"] is None


def test_inspect_warns_of_metadata_it_ignores(tmp_path: Path) -> None:
    run = nanoexport("inspect", saved(tmp_path, stored(b"{}")), "--json")
    assert run.code == 0 and run.document["metadata"] is None


def test_a_tensor_of_rank_0_can_be_an_output() -> None:
    builder = ModelBuilder()
    x = builder.tensor("x", [1], scale=0.1, zero_point=0)
    y = builder.tensor("y", [], scale=0.1, zero_point=0)
    builder.op("RESHAPE", [x], [y], new_shape=[])
    model = add_metadata(
        builder.finish([x], [y]), ModelMetadata.model_validate({"outputs": [{"labels": ["only"]}]})
    )
    assert read(model).metadata is not None
