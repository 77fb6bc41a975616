/* SPDX-License-Identifier: ISC */
/*
 * base.h: the few macros that every file uses: scope-bound cleanup, ownership
 * hand-over, array sizes, attributes. Included by every program, the
 * privileged helpers too, so nothing in here may need more than libc.
 */
#ifndef BG_COMMON_BASE_H
#define BG_COMMON_BASE_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define _cleanup_(f)	  __attribute__((cleanup(f)))
#define _printf_(fmt, va) __attribute__((format(printf, fmt, va)))
#define _unused_	  __attribute__((unused))
#define _noreturn_	  __attribute__((noreturn))
#define _warn_unused_	  __attribute__((warn_unused_result))

/* Owners are locals; these release them at the end of their scope. */
#define _free_	      _cleanup_(bg_freep)
#define _close_	      _cleanup_(bg_closep)
#define _unref_(type) _cleanup_(type##_unrefp)

/* Spelled hand-overs: the local is emptied, the value moves on. */
#define TAKE_PTR(p)                                                                                \
	({                                                                                         \
		__typeof__(p) *pp_ = &(p);                                                         \
		__typeof__(p) v_ = *pp_;                                                           \
		*pp_ = NULL;                                                                       \
		v_;                                                                                \
	})
#define TAKE_FD(fd)                                                                                \
	({                                                                                         \
		int *fdp_ = &(fd);                                                                 \
		int fdv_ = *fdp_;                                                                  \
		*fdp_ = -1;                                                                        \
		fdv_;                                                                              \
	})

/* Declares type##_unrefp for use with _unref_(type); f takes NULL. */
#define BG_DEFINE_UNREF(type, ptr, f)                                                              \
	static inline _unused_ void type##_unrefp(ptr *p)                                          \
	{                                                                                          \
		if (*p)                                                                            \
			f(*p);                                                                     \
	}

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define BG_MIN(a, b)  ((a) < (b) ? (a) : (b))
#define BG_MAX(a, b)  ((a) > (b) ? (a) : (b))

#define KIB (1024ULL)
#define MIB (1024ULL * KIB)
#define GIB (1024ULL * MIB)

static inline void bg_freep(void *p)
{
	free(*(void **)p);
}

/* Keeps errno, so that a failing path may rely on it after the scope ends. */
static inline int bg_close(int fd)
{
	if (fd >= 0) {
		int saved = errno;

		(void)close(fd);
		errno = saved;
	}
	return -1;
}

static inline void bg_closep(int *fd)
{
	*fd = bg_close(*fd);
}

static inline bool bg_streq(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static inline bool bg_isempty(const char *s)
{
	return !s || !*s;
}

#endif
