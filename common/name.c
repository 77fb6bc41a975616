/* SPDX-License-Identifier: ISC */
/* name.c: The rule, and random names of an adjective and a noun. */
#include "common/name.h"

#include <stdio.h>
#include <sys/random.h>
#include <time.h>

static const char *const adjectives[] = {"able", "airy", "amber", "azure", "bold", "brave",
	"breezy", "brisk", "bright", "calm", "candid", "cheery", "clever", "cosy", "crisp",
	"curious", "daring", "deft", "eager", "early", "fair", "fancy", "fleet", "fond", "fresh",
	"gentle", "glad", "golden", "grand", "happy", "hardy", "honest", "humble", "jolly", "keen",
	"kind", "lively", "loyal", "lucky", "mellow", "merry", "mild", "misty", "neat", "nimble",
	"noble", "patient", "placid", "plucky", "polite", "proud", "quick", "quiet", "rapid",
	"ready", "rosy", "serene", "shiny", "silver", "snug", "solid", "sunny", "swift", "tidy",
	"tranquil", "vivid", "warm", "witty"};

static const char *const nouns[] = {"acorn", "alder", "anchor", "aspen", "badger", "beacon",
	"beetle", "birch", "bison", "bramble", "brook", "canyon", "cedar", "cliff", "clover",
	"comet", "coral", "crane", "creek", "dune", "eagle", "ember", "falcon", "fern", "finch",
	"fjord", "forest", "fox", "garnet", "glacier", "grove", "harbor", "hare", "hazel", "heron",
	"hill", "ibis", "island", "ivy", "jasper", "lagoon", "lantern", "lark", "lynx", "maple",
	"marten", "meadow", "moss", "oak", "orchid", "otter", "owl", "pebble", "pine", "prairie",
	"quartz", "raven", "reef", "robin", "sparrow", "summit", "thistle", "tundra", "valley",
	"walnut", "willow", "wren"};

static bool lower(char c)
{
	return c >= 'a' && c <= 'z';
}

bool bg_name_valid(const char *name)
{
	size_t len = 0;

	if (!name || !lower(name[0]))
		return false;
	for (; name[len]; len++) {
		char c = name[len];

		if (len == BG_NAME_MAX || (!lower(c) && !(c >= '0' && c <= '9') && c != '-'))
			return false;
	}
	return name[len - 1] != '-';
}

int bg_name_check(const char *kind, const char *name, struct bg_err **err)
{
	if (bg_name_valid(name))
		return 0;
	return bg_err_set(err, BG_ERR_NAME_INVALID, EINVAL, "\"%.*s\" cannot be the name of %s %s",
		2 * BG_NAME_MAX, name ? name : "", strchr("aeiou", kind[0]) ? "an" : "a", kind);
}

void bg_name_random(char out[BG_NAME_MAX + 1])
{
	uint32_t r[2];

	/* Only a kernel without the call (before 3.17) or a sandbox fails here: names need no
	 * secrecy. */
	if (getrandom(r, sizeof(r), 0) != (ssize_t)sizeof(r)) {
		struct timespec ts;

		clock_gettime(CLOCK_MONOTONIC, &ts);
		r[0] = (uint32_t)ts.tv_nsec;
		r[1] = (uint32_t)ts.tv_nsec / 1000;
	}
	snprintf(out, BG_NAME_MAX + 1, "%s-%s", adjectives[r[0] % ARRAY_SIZE(adjectives)],
		nouns[r[1] % ARRAY_SIZE(nouns)]);
}
