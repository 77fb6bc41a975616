/* SPDX-License-Identifier: ISC */
/* Catalogs, one after the other, read by the real worker: what one cannot give is the next one's to give. */
#include <fcntl.h>
#include <stdio.h>

#include "common/fd.h"
#include "common/json.h"
#include "daemon/asset/catalog.h"
#include "tests/fsm/world.h"
#include "tests/lib/test.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static struct world w;
static char url[256], code[64];
static bool over;

static void on_found(const json_t *entry, struct bg_err *err, void *userdata)
{
	const char *found = "";

	CHECK(!entry != !err);
	(void)bg_json_get_str(entry, "url", &found);
	snprintf(url, sizeof(url), "%s", found);
	snprintf(code, sizeof(code), "%s", err ? bg_err_code_str(err->code) : "");
	over = true;
}

static bool is_over(struct world *world, void *userdata)
{
	return over;
}

/* "file://DIR/NAME"; the caller's. */
static char *url_of(const char *name)
{
	char *text = NULL;

	CHECK(asprintf(&text, "file://%s/%s", test_tmpdir(), name) > 0);
	return text;
}

static void put(const char *name, const char *text)
{
	_free_ char *at = url_of(name);

	CHECK_INT(bg_write_file_at(AT_FDCWD, at + strlen("file://"), text, strlen(text), 0600), 0);
}

static void look(const char *name, const char *first, const char *second)
{
	_free_ char *a = url_of(first), *b = url_of(second);
	struct catalog_lookup *lookup = NULL;

	free(w.config->catalogs);
	CHECK(asprintf(&w.config->catalogs, "%s  %s", a, b) > 0);
	over = false;
	CHECK_INT(catalog_look(&w.engine, "kernel", name, on_found, NULL, &lookup, NULL), 0);
	CHECK(!over); /* it is told from the loop */
	world_run(&w, is_over, NULL);
	catalog_lookup_free(lookup);
}

static void open_with_catalogs(void)
{
	world_open(&w, NULL);
	put("good.json",
		"{\"format\": 1, \"entries\": [{\"kind\": \"kernel\", \"name\": \"k\", \"arch\": "
		"\"x86_64\", \"url\": \"k.bin\", \"sha256\": \"" HEX "\", \"size\": 3}]}");
	put("empty.json", "{\"format\": 1, \"entries\": []}");
	put("broken.json", "{\"format\": ");
}

static void check_found(const char *first, const char *second)
{
	_free_ char *at = url_of("k.bin");

	look("k", first, second);
	CHECK_STR(code, "");
	CHECK_STR(url, at);
}

TEST(the_next_catalog_is_asked)
{
	open_with_catalogs();
	check_found("good.json", "missing.json");
	check_found("missing.json", "good.json");
	check_found("broken.json", "good.json");
	check_found("empty.json", "good.json");
	look("other", "good.json", "empty.json");
	CHECK_STR(code, "catalog.not_found");
	look("k", "missing.json", "empty.json");
	CHECK_STR(code, "catalog.invalid"); /* it may have been there */
	look("k", "missing.json", "missing.json");
	CHECK_STR(code, "catalog.invalid");
	world_close(&w);
}
