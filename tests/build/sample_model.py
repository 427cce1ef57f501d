"""A project with a stand-in for a model: known weights, known static RAM, known arena."""

from __future__ import annotations

import json
from pathlib import Path

from exporter.board import Board
from exporter.render.platform import render_platform
from tests.platform.probe import write_project

WEIGHTS = 3000
STATIC_DATA = 8
STATIC_BSS = 100
ARENA = 2048

MODEL_H = """\
#ifndef MODEL_H
#define MODEL_H
#include <stdint.h>
void model_init(void);
void model_invoke(void);
extern int8_t model_arena[%(arena)d];
#endif
"""

MODEL_C = """\
#include "model.h"

#include <string.h>

#include "model_weights.h"

__attribute__((aligned(16))) int8_t model_arena[%(arena)d];
static uint32_t counters[2] = {1, 2};
static uint8_t state[%(bss)d];

static const int8_t table[64] = {1, 2, 3};

void model_init(void) { memset(model_arena, 0, sizeof model_arena); }

static int8_t wide(int32_t x) { return (int8_t)((int64_t)x * x / counters[1]); }

void model_invoke(void) {
    for (uint32_t i = 0; i < sizeof model_arena; ++i) {
        state[i %% sizeof state] = (uint8_t)(state[(i + 1) %% sizeof state] + model_arena[i]);
        const int32_t value = model_weights_layer[i %% %(weights)d] + table[counters[0]++ %% 64];
        model_arena[i] = wide(value + state[i %% 7]);
    }
}

/* Nothing calls it: it must not count. */
int8_t model_unused(int32_t x);
int8_t model_unused(int32_t x) { return model_weights_unused[(uint32_t)x %% 5000u]; }
"""

WEIGHTS_H = """\
#ifndef MODEL_WEIGHTS_H
#define MODEL_WEIGHTS_H
#include <stdint.h>
extern const int8_t model_weights_layer[%(weights)d];
extern const int8_t model_weights_unused[5000];
#endif
"""

WEIGHTS_C = """\
#include "model_weights.h"

const int8_t model_weights_layer[%(weights)d] = {1, -2, 3};
const int8_t model_weights_unused[5000] = {1};
"""

MAIN_C = """\
#include "model.h"
#include "platform.h"

int main(void) {
    platform_init();
    model_init();
    model_invoke();
    for (;;) {
        platform_idle();
    }
}
"""


def sample_files(
    board: Board, *, toolchain: str = "gcc", optimize: str = "speed", arena_bytes: int = ARENA
) -> dict[str, str]:
    """The files of the project."""
    values = {"weights": WEIGHTS, "bss": STATIC_BSS, "arena": arena_bytes}
    model = {
        "model/model.h": MODEL_H % values,
        "model/model.c": MODEL_C % values,
        "model/model_weights.h": WEIGHTS_H % values,
        "model/model_weights.c": WEIGHTS_C % values,
    }
    files = render_platform(
        board,
        app={"main.c": MAIN_C},
        toolchain=toolchain,
        optimize=optimize,
        model_sources=[name for name in model if name.endswith(".c")],
    )
    manifest = {"board": board.name, "toolchain": toolchain, "optimize": optimize}
    return files | model | {"nanoexport.json": json.dumps(manifest)}


def sample_project(
    folder: Path,
    board: Board,
    *,
    toolchain: str = "gcc",
    optimize: str = "speed",
    arena_bytes: int = ARENA,
) -> Path:
    """The project, written into `folder`."""
    files = sample_files(board, toolchain=toolchain, optimize=optimize, arena_bytes=arena_bytes)
    return write_project(folder, files)
