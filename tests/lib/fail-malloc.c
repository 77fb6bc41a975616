/* SPDX-License-Identifier: ISC */
/*
 * Stands before the allocator of bangerd (LD_PRELOAD): in the process that a shared file names, the n-th allocation from now on
 * fails, once. The file (BANGER_FAIL_MALLOC): three numbers of 32 bits, which the test writes and reads.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct plan {
	_Atomic int32_t pid;
	_Atomic int32_t left; /* fails when this becomes 0 */
	_Atomic int32_t count;
};

static struct plan *plan;

/* glibc's own names of its functions. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t size);
void *malloc(size_t size);
void *calloc(size_t n, size_t size);
void *realloc(void *p, size_t size);

__attribute__((constructor)) static void find_plan(void)
{
	const char *path = getenv("BANGER_FAIL_MALLOC");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *map;

	if (fd < 0)
		return;
	map = mmap(NULL, sizeof(*plan), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (map != MAP_FAILED)
		plan = map;
}

static int strikes(void)
{
	if (!plan || atomic_load(&plan->pid) != getpid())
		return 0;
	atomic_fetch_add(&plan->count, 1);
	if (atomic_load(&plan->left) <= 0 || atomic_fetch_sub(&plan->left, 1) != 1)
		return 0;
	errno = ENOMEM;
	return 1;
}

void *malloc(size_t size)
{
	return strikes() ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	return strikes() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
	return strikes() ? NULL : __libc_realloc(p, size);
}
