/* SPDX-License-Identifier: ISC */
/* See test.h. Each test runs in a forked child under an alarm; its verdict is its exit status. */
#include "tests/lib/test.h"

#include <signal.h>
#include <stdarg.h>
#include <sys/wait.h>

#include "common/fd.h"

enum { PASSED = 0, FAILED = 90, SKIPPED = 91 };
enum { TIMEOUT_S = 120 };

static struct test *first, **last = &first;
static char tmpdir[64];

void test_register(struct test *t)
{
	*last = t;
	last = &t->next;
}

static void print_reason(const char *head, const char *fmt, va_list ap) _printf_(2, 0);
static void print_reason(const char *head, const char *fmt, va_list ap)
{
	fprintf(stdout, "# %s", head);
	vfprintf(stdout, fmt, ap);
	fputc('\n', stdout);
	fflush(stdout);
}

void test_fail(const char *file, int line, const char *fmt, ...)
{
	char head[256];
	va_list ap;

	snprintf(head, sizeof(head), "%s:%d: ", file, line);
	va_start(ap, fmt);
	print_reason(head, fmt, ap);
	va_end(ap);
	_exit(FAILED);
}

static int skip_pipe[2];

void test_skip(const char *fmt, ...)
{
	char reason[200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(reason, sizeof(reason), fmt, ap);
	va_end(ap);
	(void)bg_write_all(skip_pipe[1], reason, strlen(reason));
	_exit(SKIPPED);
}

const char *test_tmpdir(void)
{
	return tmpdir;
}

static const char *env_or(const char *name, const char *fallback)
{
	const char *v = getenv(name);

	return bg_isempty(v) ? fallback : v;
}

const char *test_source_dir(void)
{
	return env_or("BANGER_SOURCE", ".");
}

const char *test_build_dir(void)
{
	return env_or("BANGER_BUILD", "build");
}

static int run_child(const struct test *t, char *reason, size_t size)
{
	int status = 0;
	ssize_t n;
	pid_t pid;

	if (pipe(skip_pipe) < 0)
		abort();
	fflush(stdout);
	pid = fork();
	if (pid < 0)
		abort();
	if (pid == 0) {
		close(skip_pipe[0]);
		alarm(TIMEOUT_S);
		t->run();
		fflush(stdout);
		exit(PASSED); /* exit, not _exit: the leak checker reports here */
	}
	close(skip_pipe[1]);
	n = read(skip_pipe[0], reason, size - 1);
	reason[n > 0 ? n : 0] = '\0';
	close(skip_pipe[0]);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

static bool run_one(const struct test *t, int number)
{
	char reason[256];
	int status;

	strcpy(tmpdir, "/tmp/bgtest.XXXXXX");
	if (!mkdtemp(tmpdir))
		abort();
	status = run_child(t, reason, sizeof(reason));
	(void)bg_rm_rf_at(-1, tmpdir);
	if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED) {
		printf("ok %d - %s # SKIP %s\n", number, t->name, reason);
		return true;
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == PASSED) {
		printf("ok %d - %s\n", number, t->name);
		return true;
	}
	if (WIFSIGNALED(status))
		printf("# killed by signal %d%s\n", WTERMSIG(status),
			WTERMSIG(status) == SIGALRM ? " (took too long)" : "");
	printf("not ok %d - %s\n", number, t->name);
	return false;
}

/* With arguments: only the tests named. */
static bool wanted(const struct test *t, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (bg_streq(argv[i], t->name))
			return true;
	return argc < 2;
}

int main(int argc, char **argv)
{
	int number = 0, failed = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (const struct test *t = first; t; t = t->next)
		if (wanted(t, argc, argv) && !run_one(t, ++number))
			failed++;
	printf("1..%d\n", number);
	return failed ? 1 : 0;
}
