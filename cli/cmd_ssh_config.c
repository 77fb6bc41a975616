/* SPDX-License-Identifier: ISC */
/*
 * cmd_ssh_config.c: `banger ssh-config`: makes plain `ssh NAME.vm` work by one Include line in
 * the user's ~/.ssh/config. That file is the user's: it is only ever changed by --install and
 * --uninstall, and the second leaves it byte for byte as the first found it.
 */
#include "cli/cmd_ssh_config.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

#include "cli/client.h"
#include "cli/ssh_options.h"
#include "common/fd.h"
#include "common/json.h"

enum { CONFIG_MAX = 4 * 1024 * 1024 };

/* The block's first line. The second form says that the whole file is ours to remove. */
#define MARK                                                                                       \
	"# banger ssh-config: `ssh NAME.vm` works by the next line; --uninstall takes both out\n"
#define MARK_MADE                                                                                  \
	"# banger ssh-config made this file: `ssh NAME.vm` works by the next line; --uninstall "   \
	"removes it\n"

struct place {
	char *path; /* of the user's file, links followed */
	char *text; /* NULL: there is none */
	size_t len;
	mode_t mode;
	char *ours; /* of the included file */
};

static void place_clear(struct place *p)
{
	free(p->path);
	free(p->text);
	free(p->ours);
}

static char *path_in(const char *dir, const char *name)
{
	char *path = NULL;

	if (asprintf(&path, "%s/%s", dir, name) < 0)
		abort();
	return path;
}

/* Someone's dotfiles may be kept elsewhere, behind a link, which must stay one. */
static char *follow_links(char *path)
{
	char *real = realpath(path, NULL);

	if (!real)
		return path;
	free(path);
	return real;
}

static int find_place(const struct cli *cli, struct place *ret, struct bg_err **err)
{
	struct stat st;
	int r;

	ret->ours = path_in(cli->paths.ssh_dir, "config");
	ret->path = follow_links(path_in(cli->paths.home, ".ssh/config"));
	ret->mode = 0600;
	if (lstat(ret->path, &st) < 0) {
		if (errno == ENOENT)
			return 0;
		return bg_err_sys(err, BG_ERR_IO, errno, "look at %s", ret->path);
	}
	if (!S_ISREG(st.st_mode))
		return bg_err_set(err, BG_ERR_IO, EINVAL, "%s is not a file", ret->path);
	ret->mode = st.st_mode & 07777;
	r = bg_read_file_at(AT_FDCWD, ret->path, CONFIG_MAX, &ret->text, &ret->len);
	return r < 0 ? bg_err_sys(err, BG_ERR_IO, -r, "read %s", ret->path) : 0;
}

/* The end of the line that begins at p, its newline included. */
static const char *after_line(const char *p, const char *end)
{
	const char *newline = memchr(p, '\n', (size_t)(end - p));

	return newline ? newline + 1 : end;
}

/* Our two lines in the user's file; *made says which form they have. False: they are not there. */
static bool find_block(const struct place *p, const char **from, const char **to, bool *made)
{
	const char *end = p->text + p->len;

	for (const char *line = p->text; p->text && line < end; line = after_line(line, end)) {
		size_t left = (size_t)(end - line);
		const char *next = after_line(line, end);

		*made = left >= strlen(MARK_MADE) &&
			memcmp(line, MARK_MADE, strlen(MARK_MADE)) == 0;
		if (!*made && (left < strlen(MARK) || memcmp(line, MARK, strlen(MARK)) != 0))
			continue;
		*from = line;
		*to = end - next >= 8 && memcmp(next, "Include ", 8) == 0 ? after_line(next, end)
									  : next;
		return true;
	}
	return false;
}

static int write_place(const struct place *p, const char *text, size_t len, struct bg_err **err)
{
	int r = bg_write_file_at(AT_FDCWD, p->path, text, len, p->mode);

	return r < 0 ? bg_err_sys(err, BG_ERR_IO, -r, "write %s", p->path) : 0;
}

/* ssh_config(5) reads "..." as one word and % as the start of a token. */
static void put_word(FILE *f, const char *word)
{
	fputc('"', f);
	for (; *word; word++)
		fputs(*word == '%' ? "%%" : (char[]){*word, '\0'}, f);
	fputc('"', f);
}

/* A proxy command goes through a shell, after % was looked at. */
static void put_shell_word(FILE *f, const char *word)
{
	fputc('\'', f);
	for (; *word; word++)
		fputs(*word == '\'' ? "'\\''" : *word == '%' ? "%%" : (char[]){*word, '\0'}, f);
	fputc('\'', f);
}

static int own_path(char out[PATH_MAX], struct bg_err **err)
{
	ssize_t n = readlink("/proc/self/exe", out, PATH_MAX - 1);

	if (n < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "find banger's own path");
	out[n] = '\0';
	return 0;
}

/*
 * ssh asks us for the connection each time (ssh-proxy), so that this text need not change when VMs
 * come and go. It starts neither daemon nor VM.
 */
static int make_text(struct cli *cli, char **ret, struct bg_err **err)
{
	_json_ json_t *status = NULL;
	const json_t *ssh;
	char self[PATH_MAX];
	size_t len = 0;
	FILE *f;
	int r = client_call(cli, CLIENT_START, ROUTE_DAEMON_STATUS, NULL, NULL, &status, err);

	if (r >= 0)
		r = own_path(self, err);
	if (r < 0)
		return r;
	ssh = json_object_get(status, "ssh");
	if (!*render_text(ssh, "key") || !*render_text(ssh, "known_hosts"))
		return bg_err_set(
			err, BG_ERR_INTERNAL, EPROTO, "the daemon did not say which key to use");
	f = open_memstream(ret, &len);
	if (!f)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	fputs("# Written by `banger ssh-config --install`.\nHost *.vm\n", f);
	for (const struct ssh_option *o = ssh_options; o->key; o++)
		fprintf(f, "\t%s %s\n", o->key, o->value);
	fputs("\tHostName %h\n\tUser root\n\tIdentityFile ", f);
	put_word(f, render_text(ssh, "key"));
	fputs("\n\tUserKnownHostsFile ", f);
	put_word(f, render_text(ssh, "known_hosts"));
	/* under a HostKeyAlias of Host * ssh would look for that name in the file */
	fputs("\n\tKnownHostsCommand ", f);
	put_word(f, self);
	fputs(" ssh-known-hosts %n\n\tProxyCommand ", f);
	put_shell_word(f, self);
	fputs(" ssh-proxy %h %p\n\tProxyUseFdpass yes\n", f);
	return fclose(f) == 0 ? 0 : bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
}

static int add_include(const struct cli *cli, const struct place *p, struct bg_err **err)
{
	_free_ char *dir = path_in(cli->paths.home, ".ssh");
	_free_ char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	/* First: what follows the user's first Host line would belong to that host alone. */
	fputs(p->text ? MARK : MARK_MADE, f);
	fprintf(f, "Include \"%s\"\n", p->ours); /* no % tokens in an Include */
	if (p->text)
		fwrite(p->text, 1, p->len, f);
	if (fclose(f) != 0)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return bg_err_sys(err, BG_ERR_IO, errno, "make %s", dir);
	return write_place(p, text, len, err);
}

static int install(struct cli *cli, const struct place *p, struct bg_err **err)
{
	_free_ char *text = NULL;
	const char *from, *to;
	bool made, there = find_block(p, &from, &to, &made);
	int r = make_text(cli, &text, err);

	if (r < 0)
		return r;
	r = bg_mkdir_p(cli->paths.ssh_dir, 0700);
	if (r >= 0)
		r = bg_write_file_at(AT_FDCWD, p->ours, text, strlen(text), 0600);
	if (r < 0)
		return bg_err_sys(err, BG_ERR_IO, -r, "write %s", p->ours);
	r = there ? 0 : add_include(cli, p, err);
	if (r < 0)
		return r;
	fprintf(cli->out.file, "%s %s: `ssh NAME.vm` works now\n",
		there ? "it was there already, in" : "added one Include line to", p->path);
	return BG_EXIT_OK;
}

static int take_out(
	const struct place *p, const char *from, const char *to, bool made, struct bg_err **err)
{
	size_t before = (size_t)(from - p->text), after = p->len - (size_t)(to - p->text);
	_free_ char *text = malloc(before + after + 1);

	if (!text)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	memcpy(text, p->text, before);
	memcpy(text + before, to, after);
	if (before + after > 0 || !made)
		return write_place(p, text, before + after, err);
	return unlink(p->path) < 0 ? bg_err_sys(err, BG_ERR_IO, errno, "remove %s", p->path) : 0;
}

static int uninstall(struct cli *cli, const struct place *p, struct bg_err **err)
{
	const char *from, *to;
	bool made;
	int r;

	if (!find_block(p, &from, &to, &made)) {
		fprintf(cli->out.file, "%s has no line of banger\n", p->path);
		return BG_EXIT_OK;
	}
	r = take_out(p, from, to, made, err);
	if (r < 0)
		return r;
	if (unlink(p->ours) < 0 && errno != ENOENT)
		return bg_err_sys(err, BG_ERR_IO, errno, "remove %s", p->ours);
	fprintf(cli->out.file, "%s is as it was before\n", p->path);
	return BG_EXIT_OK;
}

int ssh_config(struct cli *cli, const struct args *args, struct bg_err **err)
{
	bool in = args_has(args, "--install"), out = args_has(args, "--uninstall");
	_cleanup_(place_clear) struct place place = {0};
	_free_ char *text = NULL;
	int r;

	if (in && out)
		return bg_err_set(err, BG_ERR_USAGE, EINVAL, "--install or --uninstall, not both");
	if (!in && !out) {
		r = make_text(cli, &text, err);
		if (r >= 0)
			fputs(text, cli->out.file);
		return r < 0 ? r : BG_EXIT_OK;
	}
	r = find_place(cli, &place, err);
	if (r < 0)
		return r;
	return in ? install(cli, &place, err) : uninstall(cli, &place, err);
}

/* "web,web.vm ssh-ed25519 AAAA...": the key of a line that names host, or NULL. */
static const char *key_for(char *line, const char *host)
{
	char *names = strsep(&line, " "), *name;

	while (line && (name = strsep(&names, ",")))
		if (bg_streq(name, host))
			return line;
	return NULL;
}

int ssh_known_hosts(struct cli *cli, const struct args *args, struct bg_err **err)
{
	_free_ char *path = path_in(cli->paths.ssh_dir, "known_hosts"), *text = NULL;
	char *save = NULL;
	int r = bg_read_file_at(AT_FDCWD, path, CONFIG_MAX, &text, NULL);

	if (r < 0 && r != -ENOENT)
		return bg_err_sys(err, BG_ERR_IO, -r, "read %s", path);
	for (char *line = r < 0 ? NULL : strtok_r(text, "\n", &save); line;
		line = strtok_r(NULL, "\n", &save)) {
		const char *key = key_for(line, args->positional[0]);

		if (key)
			fprintf(cli->out.file, "* %s\n", key);
	}
	return BG_EXIT_OK;
}
