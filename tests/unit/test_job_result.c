/* SPDX-License-Identifier: ISC */
/* What a worker answers, as a peer that may have been taken over. */
#include "common/json.h"
#include "daemon/job/job_result.h"
#include "tests/lib/test.h"

#define HEX   "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define LAYER "{\"digest\":\"sha256:" HEX "\",\"size\":3}"

/* One good answer for each job that has something to say. */
static const struct {
	enum job_kind kind;
	const char *text;
} good[] = {
	{JOB_COPY, "{\"bytes\":0}"},
	{JOB_MKFS, "{}"},
	{JOB_UNPACK, "{\"size\":1,\"os_release\":{},\"has_sshd\":true}"},
	{JOB_KERNEL, "{\"format\":\"elf\",\"release\":null,\"modules\":2}"},
	{JOB_VMLINUX, "{\"bytes\":5}"},
	{JOB_FETCH, "{\"bytes\":1,\"sha256\":\"" HEX "\"}"},
	{JOB_FLATTEN, "{\"size\":1}"},
	{JOB_RESOLVE, "{\"digest\":\"sha256:" HEX "\",\"layers\":[" LAYER "],\"env\":[\"A=b\"]}"},
	{JOB_BLOBS, "{\"fetched\":0}"},
	{JOB_LAYOUT, "{\"next\":" LAYER "}"},
	{JOB_ARCHIVE, "{\"layers\":[" LAYER "]}"},
	{JOB_PACK_BUNDLE, "{\"bytes\":1,\"sha256\":\"" HEX "\"}"},
	{JOB_UNPACK_BUNDLE, "{\"manifest\":{\"image\":{}}}"},
	{JOB_CATALOG, "{\"entry\":{\"url\":\"file:///x\",\"sha256\":\"" HEX "\",\"size\":1}}"},
	{JOB_DIGEST, "{\"digests\":[\"" HEX "\"]}"},
	{JOB_COW_SEED, "{\"chunks\":0}"},
	{JOB_COW_MERGE, "{\"bytes\":7}"},
	{JOB_MEMORY, "{\"files\":[{\"size\":9,\"bytes\":4,\"digest\":\"" HEX "\"}]}"},
	{JOB_LIST, "{\"entries\":[{\"name\":\"a\",\"kind\":\"file\",\"size\":1}],\"left_out\":0,"
		   "\"more\":false}"},
};

static int check(enum job_kind kind, const json_t *result)
{
	const char *why = NULL;
	int r = job_result_check(kind, result, &why);

	CHECK((r < 0) == (why != NULL));
	return r;
}

static json_t *load(const char *text)
{
	json_t *json = json_loads(text, 0, NULL);

	CHECK(json);
	return json;
}

TEST(good_answers)
{
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		_json_ json_t *result = load(good[i].text);

		CHECK_INT(check(good[i].kind, result), 0);
	}
}

/* Every member, at every depth, replaced by what it cannot be. */
static unsigned spoil(enum job_kind kind, json_t *whole, json_t *at)
{
	unsigned refused = 0;
	const char *key;
	json_t *value;
	void *next;

	json_object_foreach_safe(at, next, key, value)
	{
		_json_ json_t *old = json_incref(value);

		refused += spoil(kind, whole, value);
		json_object_set_new(at, key, json_real(1.5));
		refused += check(kind, whole) < 0;
		json_object_set(at, key, old);
	}
	return refused;
}

static unsigned members(const json_t *at)
{
	unsigned n = (unsigned)json_object_size(at);
	const char *key;
	json_t *value;

	json_object_foreach ((json_t *)(uintptr_t)at, key, value)
		n += members(value);
	return n;
}

TEST(each_member_of_another_kind)
{
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		_json_ json_t *result = load(good[i].text);
		unsigned n = members(result);

		if (good[i].kind == JOB_LAYOUT)
			n -= 2; /* where the next document lies is checked where it is opened */
		CHECK_INT(spoil(good[i].kind, result, result), n);
		CHECK_INT(check(good[i].kind, result), 0);
	}
}

TEST(answers_that_the_engine_once_followed)
{
	static const struct {
		enum job_kind kind;
		const char *text;
	} bad[] = {
		{JOB_CATALOG, "{\"entry\":{}}"},
		{JOB_CATALOG, "{\"entry\":1}"},
		{JOB_CATALOG, "{\"entry\":{\"url\":\"https://h/x\",\"size\":1}}"},
		{JOB_DIGEST, "{\"digests\":[\"0123\"]}"},
		{JOB_DIGEST, "{\"digests\":[]}"},
		{JOB_COPY, "{\"bytes\":-1}"},
		{JOB_LIST, "{\"entries\":[{\"name\":\"a/"
			   "b\",\"kind\":\"file\",\"size\":1}],\"left_out\":0,\"more\":false}"},
		{JOB_LIST, "{\"entries\":[{\"name\":\"\",\"kind\":\"file\",\"size\":1}],\"left_"
			   "out\":0,\"more\":false}"},
		{JOB_LIST, "{\"entries\":[{\"name\":\"a\",\"kind\":\"door\",\"size\":1}],\"left_"
			   "out\":0,\"more\":false}"},
		{JOB_COPY, "{}"},
		{JOB_UNPACK, "{\"size\":0}"},
		{JOB_RESOLVE, "{\"digest\":\"sha256:" HEX "\",\"layers\":[]}"},
		{JOB_RESOLVE, "{\"digest\":\"sha256:../../../../etc\",\"layers\":[" LAYER "]}"},
		{JOB_ARCHIVE, "{\"layers\":[{\"digest\":\"sha256:" HEX "\"}]}"},
		{JOB_UNPACK_BUNDLE, "{\"manifest\":{}}"},
		{JOB_FETCH, "{\"bytes\":1,\"sha256\":\"\\u0000\"}"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		_json_ json_t *result = json_loads(bad[i].text, JSON_ALLOW_NUL, NULL);

		CHECK(result);
		CHECK_INT(check(bad[i].kind, result), -EPROTO);
	}
	CHECK_INT(check(JOB_MKFS, NULL), -EPROTO);
}
