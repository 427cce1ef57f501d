"""The figures of others: whole, known by the flatbuffer's SHA-256, and never another model's."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from exporter.board import load_board
from exporter.hil.reference import baseline_of, read_data, silicon_of

SHARED_MODELS = Path(__file__).resolve().parents[3] / "shared" / "models"
BASELINE_CORES = {"cortex-m4", "cortex-m55", "rv32imac"}


def sha256_of(name: str) -> str:
    (sha256,) = (key for key, model in read_data()["models"].items() if model["name"] == name)
    return str(sha256)


def test_every_model_has_every_figure() -> None:
    models = read_data()["models"].values()
    assert {model["name"] for model in models} == {
        "ad01_int8", "kws_ref_model", "pretrainedResnet_quant", "vww_96_int8",
    }  # fmt: skip
    for model in models:
        assert set(model["instructions"]) == BASELINE_CORES
        assert set(model["code_bytes"]) == {"speed", "size"}
    tasks = {model["task"] for model in models}
    for figure in read_data()["silicon"]["figures"]:
        assert set(figure["cycles"]) == tasks


def test_the_data_say_where_they_are_from() -> None:
    assert "90b983c2" in read_data()["baseline"]["source"]
    assert "MLPerf Tiny" in read_data()["silicon"]["source"]


@pytest.mark.skipif(not SHARED_MODELS.is_dir(), reason="needs ../shared/models")
def test_the_models_are_the_shared_ones() -> None:
    for sha256, model in read_data()["models"].items():
        data = (SHARED_MODELS / f"{model['name']}.tflite").read_bytes()
        assert hashlib.sha256(data).hexdigest() == sha256


def test_the_baseline_of_a_core() -> None:
    ad = sha256_of("ad01_int8")
    on_m4 = baseline_of(ad, load_board("mps2-an386"), "speed")
    assert on_m4 is not None
    assert (on_m4.instructions, on_m4.arena_bytes, on_m4.code_bytes) == (582240, 2580, 31384)
    for_size = baseline_of(ad, load_board("mps2-an386"), "size")
    assert for_size is not None and for_size.code_bytes == 22413
    on_m3 = baseline_of(ad, load_board("mps2-an385"), "speed")
    assert on_m3 is not None and on_m3.instructions is None
    on_riscv = baseline_of(ad, load_board("riscv32-virt"), "speed")
    assert on_riscv is not None
    assert (on_riscv.instructions, on_riscv.code_bytes) == (2480990, None)


def test_another_model_has_no_figures() -> None:
    assert baseline_of("0" * 64, load_board("mps2-an386"), "speed") is None
    assert silicon_of("0" * 64, "cortex-m4") == ()


def test_silicon_is_that_of_the_same_core() -> None:
    kws = sha256_of("kws_ref_model")
    assert [figure.cycles for figure in silicon_of(kws, "cortex-m4")] == [5_180_000, 12_000_000]
    assert silicon_of(kws, "cortex-m4")[0].describe() == (
        "Cortex-M4 NUCLEO-L4R5ZI at 120 MHz, the best of MLPerf Tiny v1.1 to v1.3"
    )
    assert "Cortex-M0+ NUCLEO-G0B1RE" in silicon_of(kws, "cortex-m0plus")[0].describe()
    assert silicon_of(kws, "cortex-m3") == ()
