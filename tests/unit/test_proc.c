/* SPDX-License-Identifier: ISC */
/* common/proc.h: what /proc says of a process, alive and dead. */
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/proc.h"
#include "tests/lib/test.h"

TEST(a_name_belongs_to_a_process_that_lives)
{
	siginfo_t info;
	pid_t pid;

	CHECK(prctl(PR_SET_NAME, "odd) name (") == 0);
	CHECK(bg_proc_is_called(getpid(), "odd) name ("));
	CHECK(!bg_proc_is_called(getpid(), "odd) name"));
	CHECK(!bg_proc_is_called(getpid(), "odd) name (x"));
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		(void)pause();
		_exit(0);
	}
	CHECK(bg_proc_is_called(pid, "odd) name ("));
	CHECK_INT(bg_proc_parent(pid), getpid());
	CHECK(kill(pid, SIGSTOP) == 0);
	CHECK(waitid(P_PID, (id_t)pid, &info, WSTOPPED) == 0);
	CHECK_INT(bg_proc_state(pid), 'T');
	CHECK(kill(pid, SIGKILL) == 0);
	/* Dead and not yet waited for: it keeps its number and its name. */
	CHECK(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) == 0);
	CHECK(!bg_proc_is_called(pid, "odd) name ("));
	CHECK(waitpid(pid, NULL, 0) == pid);
	CHECK_INT(bg_proc_state(pid), 0);
	CHECK(!bg_proc_is_called(pid, "odd) name ("));
}
