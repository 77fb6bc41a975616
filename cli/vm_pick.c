/* SPDX-License-Identifier: ISC */
/* vm_pick.c: The list is asked for only when a pattern or --all is among the words. */
#include "cli/vm_pick.h"

#include <fnmatch.h>

#include "cli/client.h"
#include "common/json.h"

void vm_pick_clear(struct vm_pick *pick)
{
	for (size_t i = 0; i < pick->count; i++)
		free(pick->names[i]);
	free(pick->names);
	*pick = (struct vm_pick){0};
}

void vm_pick_add(struct vm_pick *pick, const char *name)
{
	char **names;

	for (size_t i = 0; i < pick->count; i++)
		if (bg_streq(pick->names[i], name))
			return;
	names = reallocarray(pick->names, pick->count + 1, sizeof(*names));
	if (!names)
		abort();
	pick->names = names;
	names[pick->count] = strdup(name);
	if (!names[pick->count++])
		abort();
}

/* Is state one of those in done, which are separated by blanks? */
static bool is_done(const char *state, const char *done)
{
	size_t len = strlen(state);

	for (const char *at = done; len > 0 && at && (at = strstr(at, state)); at += len)
		if ((at == done || at[-1] == ' ') && (at[len] == ' ' || at[len] == '\0'))
			return true;
	return false;
}

/* Whether any VM's name matches; those that are not done yet are added. */
static bool add_matching(
	struct vm_pick *pick, const json_t *vms, const char *pattern, const char *done)
{
	const json_t *vm;
	bool any = false;
	size_t i;

	json_array_foreach (vms, i, vm) {
		const char *name = render_text(vm, "name");

		if (fnmatch(pattern, name, 0) != 0)
			continue;
		any = true;
		if (!is_done(render_text(vm, "state"), done))
			vm_pick_add(pick, name);
	}
	return any;
}

static int check_words(const struct args *args, bool all, struct bg_err **err)
{
	const char *path = args->command->path;
	int r;

	if (all && args->count > 0) {
		r = bg_err_set(err, BG_ERR_USAGE, EINVAL,
			"--all means every VM: \"%.60s\" adds nothing to it", args->positional[0]);
		bg_err_hint(err, "give names or --all, not both");
		return r;
	}
	if (!all && args->count == 0) {
		r = bg_err_set(err, BG_ERR_USAGE, EINVAL, "an argument is missing: banger %s %s",
			path, args->command->usage);
		bg_err_hint(err, "`banger %s --help` shows how", path);
		return r;
	}
	return 0;
}

static bool any_pattern(const struct args *args)
{
	for (size_t i = 0; i < args->count; i++)
		if (args_is_pattern(args->positional[i]))
			return true;
	return false;
}

int vm_pick(struct cli *cli, const struct args *args, const char *done, struct vm_pick *ret,
	struct bg_err **err)
{
	bool all = args_has(args, "--all");
	_json_ json_t *reply = NULL;
	const json_t *vms;
	int r = check_words(args, all, err);

	cli->listed = all || any_pattern(args);
	if (r >= 0 && cli->listed)
		r = client_call(cli, CLIENT_START, ROUTE_VM_LIST, NULL, NULL, &reply, err);
	if (r < 0)
		return r;
	vms = json_object_get(reply, "vms");
	if (all)
		add_matching(ret, vms, "*", done);
	for (size_t i = 0; i < args->count; i++) {
		const char *word = args->positional[i];

		if (!args_is_pattern(word))
			vm_pick_add(ret, word);
		else if (!add_matching(ret, vms, word, done))
			return bg_err_set(err, BG_ERR_VM_NOT_FOUND, ENOENT,
				"no VM's name matches \"%.60s\"", word);
	}
	return 0;
}
