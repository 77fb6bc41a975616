/* SPDX-License-Identifier: ISC */
/*
 * cmd_cp.c: vm cp. A copy is two ends joined by a pipe. The reading end is a child of ours: it
 * packs a tree of this machine, or holds a session of the agent that does in another VM. The
 * writing end is a session of the agent, or a sealed worker (receive.h). Both say what went wrong,
 * of which the one that was the cause is shown.
 */
#include "cli/cmd_cp.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "cli/receive.h"
#include "cli/session.h"
#include "common/fd.h"
#include "common/name.h"
#include "common/tar.h"

enum { PIPE_WANTED = 1024 * 1024, SAID_MAX = 64 * 1024 };

struct place {
	char *vm;	  /* owned; NULL: here */
	const char *path; /* "-": standard input or output */
};

struct copy {
	struct cli *cli;
	const struct place *from, *to;
	bool into;	    /* more than one source: to is a folder */
	char *top;	    /* the name that was asked for; "": the content of a folder */
	int reader, writer; /* memory files: what each end had to say */
	int status;	    /* of the end in a guest that is not a child's */
};

static bool is_stream(const char *path)
{
	return bg_streq(path, "-");
}

static int no_memory(struct bg_err **err)
{
	return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
}

/* A session of cp starts in the home: "~/x" is "x". */
static const char *guest_path(const char *path)
{
	if (path[0] == '~' && (path[1] == '/' || !path[1]))
		path += 1 + strspn(path + 1, "/");
	return *path ? path : ".";
}

/* "NAME:PATH"; what has a '/' before its ':', or no name there, is a file of ours. */
static int take_place(const char *word, struct place *ret, struct bg_err **err)
{
	const char *colon = strchr(word, ':'), *slash = strchr(word, '/');

	*ret = (struct place){.path = word};
	if (!colon || colon == word || (slash && slash < colon))
		return 0;
	ret->vm = strndup(word, (size_t)(colon - word));
	if (!ret->vm)
		return no_memory(err);
	ret->path = guest_path(colon + 1);
	if (bg_name_check("VM", ret->vm, err) >= 0)
		return 0;
	bg_err_hint(err, "a file of yours with ':' in its name: put ./ before it");
	free(TAKE_PTR(ret->vm));
	return -EINVAL;
}

/* The last component of a path; "" for ".", "..", "/" and what ends so: as with cp -r, what is in
 * there is meant. */
static char *asked_name(const char *path)
{
	size_t end = strlen(path), start;

	while (end > 0 && path[end - 1] == '/')
		end--;
	for (start = end; start > 0 && path[start - 1] != '/';)
		start--;
	if ((end - start == 1 && path[start] == '.') ||
		(end - start == 2 && strncmp(path + start, "..", 2) == 0))
		end = start;
	return strndup(path + start, end - start);
}

static _noreturn_ void leave(const struct copy *c, struct bg_err *err)
{
	if (err)
		(void)bg_write_all(c->reader, err->message, strlen(err->message));
	_exit(err ? 1 : 0);
}

static _noreturn_ void pack_here(const struct copy *c, int fd)
{
	const struct bg_tar_packing p = {.out_fd = fd, .map_owner = true, .uid = geteuid()};
	struct bg_err *err = NULL;

	(void)bg_tar_pack(&p, c->from->path, &err);
	leave(c, err);
}

/* What the guest says goes to said. */
static int pack_there(const struct copy *c, int fd, int said, int *ret_status, struct bg_err **err)
{
	const char *const argv[] = {c->from->path, NULL};
	const struct session session = {.vm = c->from->vm,
		.kind = "pack",
		.argv = argv,
		.in = -1,
		.out = fd,
		.out_blocks = true,
		.err = said};

	return session_run(c->cli, &session, ret_status, err);
}

static _noreturn_ void pack_in_vm(const struct copy *c, int fd)
{
	struct bg_err *err = NULL;
	int status = 0;

	if (pack_there(c, fd, c->reader, &status, &err) < 0)
		leave(c, err);
	_exit(status ? 1 : 0);
}

/* *ret_fd is our end of the pipe from it. */
static int start_reader(const struct copy *c, pid_t *ret, int *ret_fd, struct bg_err **err)
{
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "start the copy");
	(void)fcntl(fds[0], F_SETPIPE_SZ, PIPE_WANTED);
	pid = fork();
	if (pid == 0) {
		close(fds[0]);
		if (c->from->vm)
			pack_in_vm(c, fds[1]);
		pack_here(c, fds[1]);
	}
	bg_close(fds[1]);
	if (pid < 0) {
		bg_close(fds[0]);
		return bg_err_sys(err, BG_ERR_IO, errno, "start the copy");
	}
	*ret = pid;
	*ret_fd = fds[0];
	return 0;
}

/* Its own stream of the user's is taken as it is; any other is held to the name that was asked for.
 */
static int unpack_there(struct copy *c, int fd, struct bg_err **err)
{
	bool stream = is_stream(c->from->path) && !c->from->vm;
	const char *const argv[] = {c->to->path, stream ? NULL : "as", c->top, NULL};
	const struct session session = {.vm = c->to->vm,
		.kind = stream || c->into ? "unpack-into" : "unpack",
		.argv = argv,
		.in = fd,
		.out = -1,
		.err = c->writer};

	return session_run(c->cli, &session, &c->status, err);
}

/* The text of a memory file, the caller's; NULL when it is empty. */
static char *said(int fd)
{
	static const char prefix[] = "banger: ";
	char *text = NULL;
	size_t len = 0;

	if (lseek(fd, 0, SEEK_SET) < 0 || bg_read_fd(fd, SAID_MAX, &text, &len) < 0)
		return NULL;
	len = strlen(text);
	while (len > 0 && text[len - 1] == '\n')
		text[--len] = '\0';
	if (strncmp(text, prefix, strlen(prefix)) == 0)
		memmove(text, text + strlen(prefix), strlen(text + strlen(prefix)) + 1);
	if (*text)
		return text;
	free(text);
	return NULL;
}

static int failed_in(const char *vm, const char *text, struct bg_err **err)
{
	_free_ char *clean = vm ? term_clean(text) : NULL;

	if (vm)
		return bg_err_set(err, BG_ERR_IO, EIO, "%s: %s", vm, clean);
	return bg_err_set(err, BG_ERR_IO, EIO, "%s", text);
}

/* The writer of a copy fails after its reader did: the reader's word first. */
static int outcome(const struct copy *c, bool reader_failed, struct bg_err **err)
{
	_free_ char *reader = said(c->reader), *writer = said(c->writer);

	if (c->status == 0 && !reader_failed)
		return 0;
	if (reader && reader_failed)
		return failed_in(c->from->vm, reader, err);
	if (writer)
		return failed_in(c->to->vm, writer, err);
	return bg_err_set(err, BG_ERR_IO, EIO, "the copy ended with status %d in %s", c->status,
		c->to->vm ? c->to->vm : c->from->vm);
}

static bool wait_reader(pid_t pid)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

/* From here or from a VM into a VM. */
static int copy_in(struct copy *c, struct bg_err **err)
{
	pid_t pid = -1;
	int fd = -1, r = start_reader(c, &pid, &fd, err);
	bool failed;

	if (r < 0)
		return r;
	r = unpack_there(c, fd, err);
	bg_close(fd);
	failed = wait_reader(pid);
	return r < 0 ? r : outcome(c, failed, err);
}

/* The guest's word first, unless it only found that nobody reads any more. */
static int end_out(
	struct copy *c, struct receiving *to, int r, struct bg_err *failed, struct bg_err **err)
{
	_err_ struct bg_err *worker = NULL;
	_free_ char *guest = said(c->reader);
	unsigned left_out = 0;
	int e = receive_end(to, &left_out, &worker);

	if (r < 0) {
		bg_err_free(TAKE_PTR(worker));
		worker = failed;
		e = r;
	} else if (c->status != 0 && guest) {
		return failed_in(c->from->vm, guest, err);
	} else if (c->status != 0 && e >= 0) {
		return outcome(c, false, err);
	}
	if (left_out)
		fprintf(c->cli->err.file, "skipped %u devices and pipes (need root)\n", left_out);
	if (e < 0 && err)
		*err = TAKE_PTR(worker);
	return e;
}

static int copy_out(struct copy *c, struct bg_err **err)
{
	struct bg_err *failed = NULL;
	struct receiving to;
	int fds[2], r = receive_open(c->to->path, c->top, c->into, &to, err);

	if (r >= 0 && pipe2(fds, O_CLOEXEC) < 0)
		r = bg_err_sys(err, BG_ERR_IO, errno, "start the copy");
	if (r >= 0) {
		(void)fcntl(fds[0], F_SETPIPE_SZ, PIPE_WANTED);
		r = receive_start(&to, fds[0], err);
		bg_close(fds[0]);
		if (r >= 0)
			r = pack_there(c, fds[1], c->reader, &c->status, &failed);
		bg_close(fds[1]);
		if (to.pid > 0 && (r >= 0 || failed))
			r = end_out(c, &to, r, failed, err);
	}
	receive_done(&to);
	return r;
}

static int copy_stream(struct copy *c, struct bg_err **err)
{
	int fd = c->to->vm ? STDIN_FILENO : STDOUT_FILENO;
	int r;

	if (isatty(fd))
		return bg_err_set(err, BG_ERR_USAGE, EINVAL,
			"a tar stream comes from or goes to a file or a pipe, not a terminal");
	r = c->to->vm ? unpack_there(c, fd, err) : pack_there(c, fd, c->writer, &c->status, err);
	if (r < 0 || c->to->vm)
		return r < 0 ? r : outcome(c, false, err);
	if (c->status != 0) {
		_free_ char *guest = said(c->writer);

		return failed_in(c->from->vm, guest ? guest : "the copy ended early", err);
	}
	return 0;
}

/* A guest that talks without end fills it and no more. */
static int make_memory(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd >= 0 && (ftruncate(fd, SAID_MAX) < 0 ||
			       fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK) < 0))
		return bg_close(fd);
	return fd;
}

static int run_copy(struct copy *c, struct bg_err **err)
{
	_close_ int reader = make_memory("reader"), writer = make_memory("writer");
	_free_ char *top = asked_name(c->from->path);

	if (!top)
		return no_memory(err);
	if (reader < 0 || writer < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "start the copy");
	c->top = top;
	c->reader = reader;
	c->writer = writer;
	c->status = 0;
	if ((!c->from->vm && is_stream(c->from->path)) || (!c->to->vm && is_stream(c->to->path)))
		return copy_stream(c, err);
	return c->to->vm ? copy_in(c, err) : copy_out(c, err);
}

static int check_places(
	const struct place *from, const struct place *to, bool many, struct bg_err **err)
{
	int r = 0;

	if (many && ((!from->vm && is_stream(from->path)) || (!to->vm && is_stream(to->path))))
		return bg_err_set(err, BG_ERR_USAGE, EINVAL, "- stands alone: SRC - or - DST");
	if (from->vm || to->vm)
		return 0;
	r = bg_err_set(err, BG_ERR_USAGE, EINVAL,
		"\"%.60s\" and \"%.60s\" are both on this machine", from->path, to->path);
	bg_err_hint(err, "write what is in a VM as NAME:PATH: `banger vm cp file web:/srv`");
	return r;
}

/* Every source is looked at before the first is copied: a word that is wrong leaves nothing. */
static int take_sources(const struct args *args, size_t sources, struct place *from,
	const struct place *to, struct bg_err **err)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < sources; i++) {
		r = take_place(args->positional[i], &from[i], err);
		if (r >= 0)
			r = check_places(&from[i], to, sources > 1, err);
	}
	return r;
}

int vm_cp(struct cli *cli, const struct args *args, struct bg_err **err)
{
	size_t sources = args->count - 1;
	struct place to = {0}, *from = calloc(sources, sizeof(*from));
	int r = from ? take_place(args->positional[sources], &to, err) : no_memory(err);

	if (r >= 0)
		r = take_sources(args, sources, from, &to, err);
	for (size_t i = 0; r >= 0 && i < sources; i++) {
		struct copy c = {.cli = cli, .from = &from[i], .to = &to, .into = sources > 1};

		r = run_copy(&c, err);
	}
	for (size_t i = 0; from && i < sources; i++)
		free(from[i].vm);
	free(from);
	free(to.vm);
	return r < 0 ? r : BG_EXIT_OK;
}
