/* SPDX-License-Identifier: ISC */
/*
 * fuzz.h: a fuzzer is one LLVMFuzzerTestOneInput that aborts on what must not be.
 * With -Dfuzz=true (clang) libFuzzer calls it; otherwise replay.c does, over the
 * files of its corpus and their small mutations, as a plain test.
 */
#ifndef BG_TESTS_FUZZ_FUZZ_H
#define BG_TESTS_FUZZ_FUZZ_H

#include "common/base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
