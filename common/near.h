/* SPDX-License-Identifier: ISC */
/* near.h: which of the words that there are somebody may have meant. Pure. Used for commands, flags and configuration keys. */
#ifndef BG_COMMON_NEAR_H
#define BG_COMMON_NEAR_H

#include "common/base.h"

enum { BG_NEAR_WORD_MAX = 64 }; /* bytes of a word that is compared */

/* Letters to add, to take away, to change, or to swap with their neighbour. */
unsigned bg_distance(const char *a, const char *b);
/* A guess is worth showing when less than about a third of it is wrong. */
bool bg_near(const char *word, unsigned distance);

#endif
