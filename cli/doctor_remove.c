/* SPDX-License-Identifier: ISC */
/* `banger doctor --remove`: a folder of no known VM, image or kernel goes, when its user says so.
 */
#include "cli/client.h"
#include "cli/doctor.h"
#include "common/json.h"

/* By its path below the state folder, or by its name where only one has that. */
static int find(const json_t *orphans, const char *word, const json_t **ret, struct bg_err **err)
{
	const json_t *found = NULL, *one;
	unsigned named = 0;
	size_t i;

	json_array_foreach (orphans, i, one) {
		if (bg_streq(render_text(one, "path"), word)) {
			*ret = one;
			return 0;
		}
		if (!bg_streq(render_text(one, "name"), word))
			continue;
		found = one;
		named++;
	}
	*ret = found;
	if (named == 1)
		return 0;
	if (named > 1)
		return bg_err_set(err, BG_ERR_USAGE, EINVAL,
			"%u folders are named \"%.80s\": give the path of one, as `banger daemon "
			"status --json` has it under store.orphans",
			named, word);
	return bg_err_set(err, BG_ERR_ORPHAN_NOT_FOUND, ENOENT,
		"there is no folder \"%.80s\" of no known VM, image or kernel", word);
}

static int ask(const struct cli *cli, const json_t *orphan, struct bg_err **err)
{
	char answer[16];

	if (!cli->err.tty || !isatty(STDIN_FILENO)) {
		bg_err_set(err, BG_ERR_USAGE, EPERM,
			"%s/%s would be removed, and there is no terminal to ask on",
			cli->paths.state_dir, render_text(orphan, "path"));
		bg_err_hint(err, "with --force it does not ask");
		return -EPERM;
	}
	fprintf(cli->err.file,
		"Remove %s/%s, of %s \"%s\", with all that is in it? This cannot be undone. [y/N] ",
		cli->paths.state_dir, render_text(orphan, "path"), render_text(orphan, "kind"),
		render_text(orphan, "name"));
	fflush(cli->err.file);
	if (!fgets(answer, sizeof(answer), stdin) || (answer[0] != 'y' && answer[0] != 'Y'))
		return bg_err_set(err, BG_ERR_CANCELLED, ECANCELED, "nothing was removed");
	return 0;
}

int doctor_remove(struct cli *cli, const char *word, bool force, struct bg_err **err)
{
	_json_ json_t *status = NULL, *reply = NULL, *body = NULL;
	const json_t *orphan, *store;
	int r = client_call(cli, CLIENT_START, ROUTE_DAEMON_STATUS, NULL, NULL, &status, err);

	if (r < 0)
		return r;
	store = json_object_get(status, "store");
	r = find(json_object_get(store, "orphans"), word, &orphan, err);
	if (r >= 0 && !force)
		r = ask(cli, orphan, err);
	if (r < 0)
		return r;
	body = json_pack("{s:s}", "path", render_text(orphan, "path"));
	r = client_call(cli, CLIENT_START, ROUTE_ORPHAN_REMOVE, NULL, body, &reply, err);
	if (r < 0)
		return r;
	if (cli->json)
		render_json(&cli->out, reply);
	else
		fprintf(cli->out.file, "%s/%s removed\n", cli->paths.state_dir,
			render_text(orphan, "path"));
	return BG_EXIT_OK;
}
