/* SPDX-License-Identifier: ISC */
/* Any text as a value: what a template makes of it has no markup and no control character. Any text as a template: it ends. */
#include "daemon/web/template.h"
#include "tests/fuzz/fuzz.h"

static void check(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (strchr("<>\"'", c) || c == 0x7f || (c < 0x20 && c != '\n' && c != '\t'))
			abort();
	}
}

static char *render(const char *template, const char *value, size_t *len)
{
	json_t *view =
		json_pack("{s:s, s:[s, s], s:{s:b}}", "a", value, "l", value, "x", "o", "f", 1);
	char *text = NULL;
	FILE *f = open_memstream(&text, len);

	if (view)
		(void)template_render(template, view, NULL, f);
	fclose(f);
	json_decref(view);
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = malloc(size + 1), *text;
	size_t len = 0;

	memcpy(copy, data, size);
	copy[size] = '\0';
	text = render("{{a}}{{#l}}{{.}}{{/l}}{{#o}}{{^f}}{{a}}{{/f}}{{/o}}", copy, &len);
	check(text, len);
	free(text);
	text = render(copy, "<", &len);
	free(text);
	free(copy);
	return 0;
}
