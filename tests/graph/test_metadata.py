"""Metadata as data: what is allowed, what is refused with a reason, what fits a model."""

from __future__ import annotations

import json
from typing import Any

import pytest

from exporter.graph.metadata import ModelMetadata, Preprocessing, decode, encode

SPEECH = {
    "title": "keywords",
    "description": "Words of one second.\nTwo lines.",
    "inputs": [
        {
            "name": "spectrogram",
            "preprocessing": {
                "mean": 0.5, "std": 2, "range": [-1, 1],
                "features": {
                    "sample_rate_hz": 16000, "hop_ms": 20.0, "log": True, "window": "hann",
                },
            },
        }
    ],
    "outputs": [{"name": "word", "labels": ["yes", "no"]}],
    "created_by": "nanoexport 0.1",
    "source_sha256": "a" * 64,
    "calibration": {"samples": 100, "source": "calib.npz", "method": "percentile 99.9"},
}  # fmt: skip


def preprocessing(**given: Any) -> dict[str, Any]:
    return {"inputs": [{"preprocessing": given}]}


def test_what_is_stored_is_read_back() -> None:
    metadata = ModelMetadata.model_validate(SPEECH)
    assert decode(encode(metadata)) == metadata


def test_the_same_metadata_give_the_same_bytes() -> None:
    turned = dict(reversed(list(SPEECH.items())))
    assert encode(ModelMetadata.model_validate(turned)) == encode(
        ModelMetadata.model_validate(SPEECH)
    )


def test_what_is_not_set_is_not_stored() -> None:
    assert json.loads(encode(ModelMetadata(title="t"))) == {"schema_version": 1, "title": "t"}


def test_numbers_stand_for_all_channels_and_scale_for_its_reciprocal() -> None:
    given = Preprocessing.model_validate({"mean": 127.5, "scale": 1 / 4})
    assert given.mean == (127.5,) and given.std == (4.0,)


def test_features_keep_their_types() -> None:
    features = decode(encode(ModelMetadata.model_validate(SPEECH))).inputs[0].preprocessing.features
    assert [(k, type(v)) for k, v in sorted(features.items())] == [
        ("hop_ms", float), ("log", bool), ("sample_rate_hz", int), ("window", str),
    ]  # fmt: skip


def test_labels_are_of_classes() -> None:
    assert ModelMetadata.model_validate(SPEECH).outputs[0].kind == "classes"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"titel": "x"}, "titel: Extra inputs are not permitted"),
        ({"outputs": [{"kind": "guess"}]}, "outputs.0.kind"),
        ({"outputs": [{"labels": ["a", ""]}]}, "outputs.0.labels.1"),
        ({"outputs": [{"labels": ["a\nb"]}]}, "of several lines"),
        ({"title": "bell\x07"}, "cannot be printed"),
        ({"source_sha256": "12"}, "source_sha256"),
        (preprocessing(std=0), "not 0"),
        (preprocessing(std=[1, 2], scale=3), "std and scale = 1 / std are both given"),
        (preprocessing(scale=0), "or is 0"),
        (preprocessing(scale=None), "scale None has what is no number"),
        (preprocessing(mean=float("nan")), "not a number that a float of 32 bits holds"),
        (preprocessing(mean=1e39), "not a number that a float of 32 bits holds"),
        (preprocessing(range=[1, 1]), "the first is less than the second"),
        (preprocessing(mean=[1, 2], std=[1, 2, 3]), "2 means, but 3 stds"),
        (preprocessing(order="CMYK"), "order"),
        (preprocessing(features={"Sample Rate": 1}), "lower-case letters, digits and _"),
        (preprocessing(features={"bytes": 1}), "the name of something else"),
        (preprocessing(features={"bins": [1]}), "features.bins"),
        (preprocessing(features={"bins": 2**31}), "features.bins"),
        ({"calibration": {"samples": -1}}, "calibration.samples"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_makes_no_sense_is_refused_with_its_place(given: dict[str, Any], reason: str) -> None:
    stored = json.dumps({"schema_version": 1, **given}).encode()
    with pytest.raises(ValueError, match=reason.replace(".", r"\.")):
        decode(stored)


@pytest.mark.parametrize(
    "stored",
    [b"", b"[]", b"null", b"{}", b'{"schema_version": 2}', b"\xff\xfe", b"[" * 100_000,
     b'{"schema_version": 1, "title": "\\ud800"}', b" " * (2**20 + 1), b'{"a": ' + b"9" * 5000],
    ids=range(10),
)  # fmt: skip
def test_what_others_wrote_is_a_value_error(stored: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        decode(stored)


@pytest.mark.parametrize(
    ("given", "misfit"),
    [
        ({"inputs": [{}, {}]}, "2 inputs, but the model has 1"),
        ({"outputs": [{}, {}]}, "2 outputs, but the model has 1"),
        (preprocessing(mean=[1, 2]), "input 0: 2 mean values for 3 channels"),
        (preprocessing(std=[1, 2]), "input 0: 2 std values for 3 channels"),
        (preprocessing(order="gray"), "input 0: order gray, but 3 channels"),
        ({"outputs": [{"labels": ["a"]}]}, "output 0: 1 labels for 2 entries"),
        (preprocessing(mean=[1, 2, 3], std=4, order="BGR"), None),
        ({"outputs": [{"labels": ["a", "b"]}]}, None),
    ],
)
def test_metadata_fit_the_model(given: dict[str, Any], misfit: str | None) -> None:
    metadata = ModelMetadata.model_validate(given)
    assert metadata.misfits([(1, 4, 4, 3)], [(1, 2)]) == ([misfit] if misfit else [])
