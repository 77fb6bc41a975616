/* SPDX-License-Identifier: ISC */
/* What the faces of banger read alike out of a VM's record. */
#include "common/vm_record.h"

#include "cli/vm_list.h"
#include "common/json.h"
#include "tests/lib/test.h"
#include "tui/model.h"

static const char clean[] =
	"{\"state\": \"stopped\", \"error\": {\"code\": \"vm.session_ended\", \"message\": \"m\"}}";
static const char failed[] =
	"{\"state\": \"stopped\", \"error\": {\"code\": \"vmm.died\", \"message\": \"m\"}}";
static const char stopped[] = "{\"state\": \"stopped\", \"error\": null}";

static void check_words(const char *json, bool failure, const char *word, enum face face)
{
	_json_ json_t *vm = json_loads(json, 0, NULL);
	const struct item item = {.record = vm};
	const char *shown;
	enum style style;

	CHECK(!bg_vm_failure(vm) == !failure);
	CHECK_STR(vm_state_word(vm, &style), word);
	CHECK_INT(style, failure ? STYLE_RED : STYLE_DIM);
	CHECK_INT(vm_face(&item, &shown), face);
	CHECK_STR(shown, word);
}

TEST(a_clean_shutdown_is_not_a_failure)
{
	check_words(stopped, false, "stopped", FACE_STOPPED);
	check_words(failed, true, "failed", FACE_FAILED);
	check_words(clean, false, "stopped", FACE_STOPPED);
}

TEST(an_error_without_a_code_is_one)
{
	_json_ json_t *vm = json_loads("{\"error\": {\"message\": \"m\"}}", 0, NULL);

	CHECK(bg_vm_failure(vm) == json_object_get(vm, "error"));
	CHECK(!bg_vm_failure(NULL));
}

TEST(numbers_of_a_guest)
{
	char text[] = "cpu_count 2\nBad 1\nmemory_total_kib 512000\nno_number x\n\n";
	_json_ json_t *stats = bg_guest_stats(text);

	CHECK_INT(json_object_size(stats), 2);
	CHECK_INT(json_integer_value(json_object_get(stats, "cpu_count")), 2);
	CHECK_INT(json_integer_value(json_object_get(stats, "memory_total_kib")), 512000);
}
