/* SPDX-License-Identifier: ISC */
/* What apt and dpkg print, counted. */
#include "daemon/asset/apt_count.h"
#include "tests/lib/test.h"

static const char fetching[] =
	"Get:1 http://deb.example.org/debian bookworm InRelease [151 kB]\n"
	"Fetched 9421 kB in 11s (878 kB/s)\n"
	"0 upgraded, 2 newly installed, 0 to remove and 0 not upgraded.\n"
	"Need to get 1,5 MB of archives.\n"
	"Need to get 1.5 MB of archives.\n"
	"Get:1 http://deb.example.org/debian bookworm/main amd64 make amd64 4.3-4.1 [500 kB]\n"
	"Get:2 http://deb.example.org/debian bookworm/main amd64 jq amd64 1.6 [6924 B]\n";

static const char installing[] = "Selecting previously unselected package make.\n"
				 "Unpacking make (4.3-4.1) ...\n"
				 "Unpacking jq (1.6) ...\n"
				 "Setting up make (4.3-4.1) ...\n"
				 "Setting up jq (1.6) ...\n";

static struct apt_count count;

static void feed(const char *text, size_t piece)
{
	for (size_t len = strlen(text); len > 0;) {
		size_t n = BG_MIN(piece, len);

		apt_count_feed(&count, text, n);
		text += n;
		len -= n;
	}
}

TEST(archives_are_counted_in_bytes_and_lists_are_not)
{
	for (size_t piece = 1; piece < 200; piece += 33) {
		count = (struct apt_count){0};
		feed(fetching, piece);
		CHECK_INT(count.bytes_total, 1500000);
		CHECK_INT(count.bytes, 506924);
		CHECK_INT(count.packages_total, 2);
		CHECK(!count.installs);
	}
}

TEST(packages_are_counted_by_halves)
{
	count = (struct apt_count){0};
	feed(fetching, 64);
	feed(installing, 7);
	CHECK(count.installs);
	CHECK_INT(apt_count_packages(&count), 2);
	feed("Setting up more than there were\nUnpacking x\n", 64);
	CHECK_INT(apt_count_packages(&count), 2);
}

TEST(what_is_nothing_of_the_kind_counts_nothing)
{
	static char longest[3 * APT_COUNT_LINE];

	count = (struct apt_count){0};
	memset(longest, 'x', sizeof(longest) - 1);
	feed(longest, 100);
	feed("\nNeed to get -5 MB\nNeed to get nan MB\nNeed to get 1e300 GB\nGet:\n[1 MB]\n", 9);
	feed("4294967296 upgraded\n7 upgraded, \nE: Unable to locate package nosuch\n", 9);
	CHECK_INT(count.bytes_total, 0);
	CHECK_INT(count.packages_total, 0);
	CHECK_INT(apt_count_packages(&count), 0);
}
