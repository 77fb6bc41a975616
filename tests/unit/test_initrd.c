/* SPDX-License-Identifier: ISC */
/* test_initrd.c: The initrd's archives, read back by cpio. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/cpio.h"
#include "common/fd.h"
#include "common/guest_conf.h"
#include "daemon/vm/initrd.h"
#include "tests/lib/test.h"

static int open_tmp(const char *name)
{
	char path[256];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", test_tmpdir(), name);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	CHECK(fd >= 0);
	return fd;
}

/* Runs a shell line in the test's directory; its output is the caller's. */
static char *run(const char *line)
{
	char cmd[1024], *out = NULL;
	FILE *f;

	(void)snprintf(cmd, sizeof(cmd), "cd %s && { %s; } 2>&1", test_tmpdir(), line);
	f = popen(cmd, "re");
	CHECK(f);
	CHECK_INT(bg_read_fd(fileno(f), 1024 * 1024, &out, NULL), 0);
	CHECK_INT(pclose(f), 0);
	return out;
}

static void need(const char *tool)
{
	char cmd[128];

	(void)snprintf(cmd, sizeof(cmd), "command -v %s >/dev/null", tool);
	if (system(cmd) != 0)
		test_skip("%s is not installed", tool);
}

static const struct guest_conf conf = {.id = "0123456789abcdef0123456789abcdef",
	.hostname = "a",
	.root = "vda",
	.agent = "virtio",
	.host_key = "secret\n",
	.authorized_keys = "ssh-ed25519 AAAA me\n"};

TEST(cpio_reads_what_was_written)
{
	_close_ int fd = open_tmp("one.cpio"), src = open_tmp("src");
	_free_ char *names = NULL, *body = NULL;
	struct bg_cpio c;

	need("cpio");
	CHECK_INT(bg_write_all(src, "0123456789", 10), 0);
	bg_cpio_init(&c, fd);
	CHECK_INT(bg_cpio_dir(&c, "d", 0755), 0);
	CHECK_INT(bg_cpio_file(&c, "d/f", 0600, "abc", 3), 0);
	CHECK_INT(bg_cpio_file(&c, "d/empty", 0644, "", 0), 0);
	CHECK_INT(bg_cpio_file_fd(&c, "d/src", 0755, src), 0);
	CHECK_INT(bg_cpio_end(&c), 0);
	CHECK_INT(c.size % 512, 0);
	CHECK_INT(lseek(fd, 0, SEEK_CUR), c.size);
	names = run("cpio -t --quiet < one.cpio");
	CHECK_STR(names, "d\nd/f\nd/empty\nd/src\n");
	body = run("cpio -i --quiet < one.cpio && cat d/f d/src && stat -c ' %a %F' d d/f d/src");
	CHECK_STR(body, "abc0123456789 755 directory\n 600 regular file\n 755 regular file\n");
}

TEST(every_name_length_is_aligned)
{
	_close_ int fd = open_tmp("many.cpio");
	_free_ char *out = NULL;
	char name[10] = "";
	struct bg_cpio c;

	need("cpio");
	bg_cpio_init(&c, fd);
	for (size_t i = 0; i < 9; i++) {
		name[i] = 'n';
		CHECK_INT(bg_cpio_file(&c, name, 0644, name, i), 0);
		CHECK_INT(c.size % 4, 0);
	}
	CHECK_INT(bg_cpio_end(&c), 0);
	out = run("cpio -i --quiet < many.cpio && stat -c %s nnnnnnnnn && ls | grep -c '^n*$'");
	CHECK_STR(out, "8\n9\n");
}

TEST(too_long_a_name)
{
	_close_ int fd = open_tmp("x");
	char name[300];
	struct bg_cpio c;

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	bg_cpio_init(&c, fd);
	CHECK_INT(bg_cpio_dir(&c, name, 0755), -ENAMETOOLONG);
	CHECK_INT(bg_cpio_file_fd(&c, "dev", 0644, STDERR_FILENO + 100), -EBADF);
}

/* Three archives behind each other; a reader that stops at a trailer is run three times. */
TEST(initrd_holds_the_three_archives)
{
	_close_ int out = open_tmp("initrd"), init = open_tmp("banger-init");
	_close_ int mods = open_tmp("modules.cpio");
	_free_ char *list = NULL, *text = NULL;
	struct bg_cpio c;
	struct stat st;

	need("cpio");
	CHECK_INT(bg_write_all(init, "ELF!!", 5), 0);
	bg_cpio_init(&c, mods);
	CHECK_INT(bg_cpio_dir(&c, "banger", 0755), 0);
	CHECK_INT(bg_cpio_file(&c, "banger/modules", 0644, "a.ko\n", 5), 0);
	CHECK_INT(bg_cpio_end(&c), 0);
	CHECK_INT(initrd_write(out, -1, init, mods, &conf, NULL), 0);
	CHECK_INT(fstat(out, &st), 0);
	CHECK_INT(st.st_size % 512, 0);
	list = run("{ cpio -t --quiet; cpio -t --quiet; cpio -t --quiet; } < initrd");
	CHECK_STR(list, "init\nbanger\nbanger/modules\nbanger\nbanger/vm.conf\n"
			"banger/ssh_host_ed25519_key\nbanger/authorized_keys\n");
	text = run("{ cpio -iu --quiet; cpio -iu --quiet; cpio -iu --quiet; } < initrd && "
		   "cat init banger/modules banger/vm.conf banger/authorized_keys && "
		   "stat -c %a init banger/vm.conf banger/ssh_host_ed25519_key");
	CHECK_STR(text, "ELF!!a.ko\nid 0123456789abcdef0123456789abcdef\nhostname a\nroot vda\n"
			"agent virtio\nssh-ed25519 AAAA me\n755\n600\n600\n");
}

TEST(initrd_without_modules)
{
	_close_ int out = open_tmp("initrd"), init = open_tmp("banger-init");
	_err_ struct bg_err *err = NULL;

	CHECK_INT(initrd_write(out, -1, init, -1, &conf, &err), 0);
	CHECK_INT(initrd_write(out, -1, -1, -1, &conf, &err), -EBADF);
	CHECK(strstr(err->message, "initramfs: banger-init"));
}
