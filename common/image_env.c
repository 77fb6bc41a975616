/* SPDX-License-Identifier: ISC */
/* See image_env.h. */
#include "common/image_env.h"

#include "common/json.h"
#include "common/limits.h"

static bool is_kept(const char *text)
{
	static const char *const of_the_user[] = {"HOME=", "USER=", "LOGNAME=", "SHELL="};

	for (size_t i = 0; i < ARRAY_SIZE(of_the_user); i++)
		if (strncmp(text, of_the_user[i], strlen(of_the_user[i])) == 0)
			return false;
	return *text != '=' && strchr(text, '=');
}

/* A name that comes again takes the place of the first, as in docker: commands see it once. */
static void keep(json_t *kept, const char *text)
{
	const size_t name = strcspn(text, "=") + 1;
	const json_t *item;
	size_t i;

	json_array_foreach (kept, i, item)
		if (strncmp(json_string_value(item), text, name) == 0) {
			json_array_set_new(kept, i, json_string(text));
			return;
		}
	json_array_append_new(kept, json_string(text));
}

int image_env_take(const json_t *list, json_t **ret)
{
	_json_ json_t *kept = json_array();
	size_t bytes = 0, i;
	const json_t *item;

	*ret = NULL;
	if (!list || json_is_null(list))
		return 0;
	if (!json_is_array(list))
		return -EINVAL;
	json_array_foreach (list, i, item) {
		const char *text = json_string_value(item);

		if (!text || strlen(text) != json_string_length(item))
			return -EINVAL;
		bytes += strlen(text) + 1;
		if (bytes > BG_IMAGE_ENV_MAX)
			return -E2BIG;
		if (is_kept(text))
			keep(kept, text);
	}
	if (json_array_size(kept) > 0)
		*ret = TAKE_PTR(kept);
	return 0;
}
