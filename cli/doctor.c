/* SPDX-License-Identifier: ISC */
/* doctor.c: the table of `banger doctor`, and how it is shown. See doctor.h. */
#include "cli/doctor.h"
#include "common/helper_hint.h"

#include <stdarg.h>

#include "common/json.h"

/* In the order in which one thing needs the other. */
static const struct {
	const char *name;
	doctor_check_fn check;
} rows[] = {
	{"daemon", check_daemon},
	{"kvm", check_kvm},
	{"firecracker", check_firecracker},
	{"qemu", check_qemu},
	{"vmm", check_vmm},
	{"helper", check_helper},
	{"fence", check_fence},
	{"tun", check_tun},
	{"forward", check_forward},
	{"names", check_names},
	{"store", check_store},
	{"storage", check_storage},
	{"disk-helper", check_disk_helper},
	{"space", check_space},
	{"landlock", check_landlock},
	{"seccomp", check_seccomp},
	{"vsock", check_vsock},
	{"build", check_build},
	{"ssh", check_ssh},
	{"logout", check_logout},
};

static const char *const state_words[] = {
	[FINDING_OK] = "ok", [FINDING_WARN] = "warn", [FINDING_FAIL] = "fail"};
static const enum style state_styles[] = {
	[FINDING_OK] = STYLE_GREEN, [FINDING_WARN] = STYLE_YELLOW, [FINDING_FAIL] = STYLE_RED};

static void put(char **at, const char *fmt, va_list ap)
{
	free(*at);
	if (vasprintf(at, fmt, ap) < 0)
		*at = NULL;
}

void finding_set(struct finding *f, enum finding_state state, const char *fmt, ...)
{
	va_list ap;

	f->state = state;
	va_start(ap, fmt);
	put(&f->text, fmt, ap);
	va_end(ap);
}

void finding_hint(struct finding *f, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	put(&f->hint, fmt, ap);
	va_end(ap);
}

void finding_error(struct finding *f, enum finding_state state, const json_t *error)
{
	finding_set(f, state, "%s", render_text(error, "message"));
	if (*render_text(error, "hint"))
		finding_hint(f, "%s", render_text(error, "hint"));
}

static void finding_done(struct finding *f)
{
	free(f->text);
	free(f->hint);
}

enum { FINDING_COLUMN = 19 };

static void show(const struct term *t, const char *name, const struct finding *f)
{
	_free_ char *text = term_clean(f->text),
		    *hint = f->hint ? bg_helper_hint(term_clean(f->hint)) : NULL;

	fprintf(t->file, "%s%-5s%s %-12s ", term_style(t, state_styles[f->state]),
		state_words[f->state], term_plain(t), name);
	render_wrapped(t, FINDING_COLUMN, t->width, text ? text : "");
	if (hint) {
		fprintf(t->file, "\n%*s", FINDING_COLUMN, "");
		render_wrapped(t, FINDING_COLUMN, t->width, hint);
	}
	fputc('\n', t->file);
}

static int add(json_t *list, const char *name, const struct finding *f)
{
	return json_array_append_new(list,
		json_pack("{s:s, s:s, s:s, s:s?}", "name", name, "state", state_words[f->state],
			"text", f->text ? f->text : "", "hint", f->hint));
}

/* Each line as soon as it is known. list, of the records, may be NULL. How many are of each state is added to n. */
static void run_rows(const struct doctor *d, json_t *list, unsigned n[FINDING_FAIL + 1])
{

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_(finding_done) struct finding f = {.state = FINDING_OK};

		rows[i].check(d, &f);
		n[f.state]++;
		if (list)
			(void)add(list, rows[i].name, &f);
		else
			show(&d->cli->out, rows[i].name, &f);
	}
}

static int print(const struct doctor *d, bool strict, struct bg_err **err)
{
	const struct term *t = &d->cli->out;
	_json_ json_t *record = NULL;
	json_t *list = NULL;
	unsigned n[FINDING_FAIL + 1] = {0}, failed;

	if (d->cli->json && !(list = json_array()))
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	run_rows(d, list, n);
	failed = n[FINDING_FAIL];
	if (list) {
		record = json_pack("{s:b, s:o}", "ok", failed == 0, "checks", list);
		render_json(t, record);
	} else if (failed) {
		fprintf(t->file, "\n%u check%s failed: VMs cannot be run here\n", failed,
			failed == 1 ? "" : "s");
	} else {
		fprintf(t->file, "\nVMs can be run here\n");
	}
	return failed || (strict && n[FINDING_WARN]) ? BG_EXIT_HOST : BG_EXIT_OK;
}

int doctor(struct cli *cli, const struct args *args, struct bg_err **err)
{
	_unref_(config) struct config *config = NULL;
	struct doctor d = {.cli = cli};
	int r;

	if (args_value(args, "--remove"))
		return doctor_remove(
			cli, args_value(args, "--remove"), args_has(args, "--force"), err);
	r = config_load(cli->paths.config_file, &config, NULL);
	/* A file that cannot be read keeps the daemon from starting: its row says so. */
	if (r < 0)
		r = config_parse("", "", 0, &config, err);
	if (r < 0)
		return r;
	d.config = config;
	doctor_ask(&d);
	r = print(&d, args_has(args, "--strict"), err);
	json_decref(d.status);
	bg_err_free(d.err);
	return r;
}
