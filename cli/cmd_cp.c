/* SPDX-License-Identifier: ISC */
/*
 * cmd_cp.c: vm cp. Our end of the copy is a child that packs or unpacks (common/tar.h), joined by a
 * pipe with a session of the agent that does the other. Both say what went wrong into memory files,
 * of which the one that was the cause is shown.
 */
#include "cli/cmd_cp.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>

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
	const char *vm;
	const char *here, *there;
	bool to_guest;
	int here_said, there_said; /* memory files: what each end had to say */
	int status;		   /* of the guest's end */
};

static bool is_stream(const char *path)
{
	return bg_streq(path, "-");
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
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	ret->path = colon[1] ? colon + 1 : ".";
	if (bg_name_check("VM", ret->vm, err) >= 0)
		return 0;
	bg_err_hint(err, "a file of yours with ':' in its name: put ./ before it");
	free(TAKE_PTR(ret->vm));
	return -EINVAL;
}

static _noreturn_ void leave(const struct copy *c, struct bg_err *err)
{
	if (err)
		(void)bg_write_all(c->here_said, err->message, strlen(err->message));
	_exit(err ? 1 : 0);
}

static _noreturn_ void pack_here(const struct copy *c, int fd)
{
	const struct bg_tar_packing p = {.out_fd = fd, .map_owner = true, .uid = geteuid()};
	struct bg_err *err = NULL;

	(void)bg_tar_pack(&p, c->here, &err);
	leave(c, err);
}

static _noreturn_ void unpack_here(const struct copy *c, int fd)
{
	struct bg_tar_unpacking u = {.in_fd = fd};
	struct bg_err *err = NULL;

	(void)bg_tar_unpack(&u, c->here, false, &err);
	if (u.left_out)
		(void)dprintf(STDERR_FILENO,
			"left out: %u devices and pipes, which only root makes\n", u.left_out);
	leave(c, err);
}

/* *ret_fd is our end of the pipe to it. */
static int start_here(const struct copy *c, pid_t *ret, int *ret_fd, struct bg_err **err)
{
	int fds[2], mine = c->to_guest ? 0 : 1;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "start the copy");
	(void)fcntl(fds[0], F_SETPIPE_SZ, PIPE_WANTED);
	pid = fork();
	if (pid == 0) {
		close(fds[mine]);
		if (c->to_guest)
			pack_here(c, fds[1]);
		unpack_here(c, fds[0]);
	}
	bg_close(fds[!mine]);
	if (pid < 0) {
		bg_close(fds[mine]);
		return bg_err_sys(err, BG_ERR_IO, errno, "start the copy");
	}
	*ret = pid;
	*ret_fd = fds[mine];
	return 0;
}

static int run_there(struct copy *c, int fd, struct bg_err **err)
{
	const char *const argv[] = {c->there, NULL};
	const struct session session = {
		.vm = c->vm,
		.kind = !c->to_guest	     ? "pack"
			: is_stream(c->here) ? "unpack-into"
					     : "unpack",
		.argv = argv,
		.in = c->to_guest ? fd : -1,
		.out = c->to_guest ? -1 : fd,
		.out_blocks = true,
		.err = c->there_said,
	};

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

/* The reader of a copy fails after its writer did, and the other way round: the writer's word
 * first. */
static int outcome(const struct copy *c, bool here_failed, struct bg_err **err)
{
	_free_ char *here = said(c->here_said), *there = said(c->there_said);
	bool ours = here && (c->to_guest || !there);
	_free_ char *clean = term_clean(there ? there : "");

	if (c->status == 0 && !here_failed)
		return 0;
	if (ours)
		return bg_err_set(err, BG_ERR_IO, EIO, "%s", here);
	if (there)
		return bg_err_set(err, BG_ERR_IO, EIO, "%s: %s", c->vm, clean);
	return bg_err_set(
		err, BG_ERR_IO, EIO, "the copy ended with status %d in %s", c->status, c->vm);
}

static bool wait_here(pid_t pid)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

static int copy_tree(struct copy *c, struct bg_err **err)
{
	pid_t pid = -1;
	int fd = -1, r;
	bool failed;

	r = start_here(c, &pid, &fd, err);
	if (r < 0)
		return r;
	r = run_there(c, fd, err);
	bg_close(fd);
	failed = wait_here(pid);
	return r < 0 ? r : outcome(c, failed, err);
}

static int copy_stream(struct copy *c, struct bg_err **err)
{
	int fd = c->to_guest ? STDIN_FILENO : STDOUT_FILENO;
	int r;

	if (isatty(fd))
		return bg_err_set(err, BG_ERR_USAGE, EINVAL,
			"a tar stream comes from or goes to a file or a pipe, not a terminal");
	r = run_there(c, fd, err);
	return r < 0 ? r : outcome(c, false, err);
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
	_close_ int here = make_memory("here"), there = make_memory("there");

	if (here < 0 || there < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "start the copy");
	c->here_said = here;
	c->there_said = there;
	return is_stream(c->here) ? copy_stream(c, err) : copy_tree(c, err);
}

int vm_cp(struct cli *cli, const struct args *args, struct bg_err **err)
{
	struct place from = {0}, to = {0};
	struct copy c = {.cli = cli};
	int r = take_place(args->positional[0], &from, err);

	if (r >= 0)
		r = take_place(args->positional[1], &to, err);
	if (r >= 0 && !from.vm == !to.vm) {
		r = bg_err_set(err, BG_ERR_USAGE, EINVAL, "%s",
			from.vm ? "both sides are in a VM: copy by way of this machine"
				: "neither side is in a VM");
		bg_err_hint(
			err, "write the one in the VM as NAME:PATH: `banger vm cp file web:/srv`");
	}
	if (r >= 0) {
		c.to_guest = to.vm != NULL;
		c.vm = to.vm ? to.vm : from.vm;
		c.here = to.vm ? from.path : to.path;
		c.there = to.vm ? to.path : from.path;
		r = run_copy(&c, err);
	}
	free(from.vm);
	free(to.vm);
	return r < 0 ? r : BG_EXIT_OK;
}
