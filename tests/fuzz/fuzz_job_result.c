/* SPDX-License-Identifier: ISC */
/* Answers of workers: the first byte chooses the job. What is taken has all that the engine follows without a look. */
#include "common/json.h"
#include "daemon/job/job_result.h"
#include "tests/fuzz/fuzz.h"

static void must_have(const json_t *obj, const char *key)
{
	const char *text = NULL;

	if (bg_json_get_str(obj, key, &text) < 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum job_kind kind = size ? (enum job_kind)(data[0] % JOB_MAX_) : JOB_COPY;
	_json_ json_t *result =
		size ? json_loadb((const char *)data + 1, size - 1, JSON_ALLOW_NUL, NULL) : NULL;
	const json_t *entry = json_object_get(result, "entry");
	const char *why = NULL;
	int r = job_result_check(kind, result, &why);

	if ((r < 0) != (why != NULL))
		abort();
	if (r < 0)
		return 0;
	if (kind == JOB_CATALOG && entry && !json_is_null(entry)) {
		must_have(entry, "url");
		must_have(entry, "sha256");
	}
	if (kind == JOB_KERNEL)
		must_have(result, "format");
	return 0;
}
