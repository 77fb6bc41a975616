/* SPDX-License-Identifier: ISC */
/*
 * Disks that the guest joins (storage guest-cow), over fakes and the real worker: what a new one is made of, where
 * it cannot be, what keeps its image, its growth, and its way into an image.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "common/cow_store.h"
#include "common/disk_layout.h"
#include "common/fd.h"
#include "common/json.h"
#include "daemon/asset/seed.h"
#include "daemon/vm/vm_commit.h"
#include "daemon/vm/vm_set.h"
#include "tests/fsm/world.h"
#include "tests/lib/test.h"

static struct world w;

static struct vm *vm(const char *name)
{
	return vms_find(w.engine.vms, name);
}

static struct image_row *image(void)
{
	return images_find(w.engine.images, "img");
}

/* Kernels have it, or do not. */
static void open_cow(bool kernel)
{
	world_open(&w, NULL);
	w.engine.storage = &storage_cow;
	w.engine.storage_reason = "guest-cow: a test";
	kernels_find(w.engine.kernels, "k")->cow = kernel;
}

static struct stat look(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		test_fail(__FILE__, __LINE__, "%s: %s", path, strerror(errno));
	return st;
}

static unsigned seeds(void)
{
	_free_ char *path = NULL;
	const struct dirent *de;
	unsigned n = 0;
	DIR *dir;

	CHECK(asprintf(&path, "%s/seeds", w.paths.cache_dir) > 0);
	dir = opendir(path);
	while (dir && (de = readdir(dir)))
		n += de->d_name[0] != '.';
	if (dir)
		closedir(dir);
	return n;
}

TEST(made_of_a_seed_that_is_made_once)
{
	struct stat st;

	open_cow(true);
	CHECK_INT(seeds(), 0);
	CHECK_INT(world_create(&w, "a", true), OP_DONE);
	CHECK_STR(vm("a")->row->storage, "guest-cow");
	CHECK_STR(vm_storage_reason(vm("a")), "guest-cow: a test");
	st = look(vm("a")->paths.disk_root);
	CHECK_INT(st.st_size, bg_cow_file_size(MIB, vm("a")->row->disk_mib * MIB, BG_COW_CHUNK));
	CHECK(st.st_blocks * 512 < 64 * 1024);
	CHECK_INT(look(vm("a")->paths.disk_work).st_size, vm("a")->row->work_mib * MIB);
	CHECK_INT(seeds(), 1);
	CHECK_INT(world_create(&w, "b", false), OP_DONE);
	CHECK_INT(seeds(), 1);
	CHECK_INT(world_ask(&w, "a", VM_EV_DELETE), OP_DONE);
	CHECK_INT(world_ask(&w, "b", VM_EV_DELETE), OP_DONE);
	world_check_empty(&w);
}

TEST(cancelled_while_the_seed_is_made)
{
	open_cow(true);
	w.cancel_at = "disks";
	CHECK_INT(world_create(&w, "a", true), OP_CANCELLED);
	CHECK(!vm("a"));
	CHECK_INT(world_create(&w, "a", false), OP_DONE);
	CHECK_INT(seeds(), 1);
	CHECK_INT(world_ask(&w, "a", VM_EV_DELETE), OP_DONE);
	world_check_empty(&w);
}

TEST(copied_where_kernel_or_image_do_not_fit)
{
	open_cow(false);
	CHECK_INT(world_create(&w, "a", false), OP_DONE);
	CHECK_STR(vm("a")->row->storage, "copy");
	CHECK(strstr(vm_storage_reason(vm("a")), "copy: this kernel has no dm-snapshot"));
	kernels_find(w.engine.kernels, "k")->cow = true;
	CHECK_INT(truncate(image()->rootfs, (off_t)BG_DISK_BASE_MAX + 4096), 0);
	CHECK_INT(world_create(&w, "b", false), OP_DONE);
	CHECK_STR(vm("b")->row->storage, "copy");
	CHECK(strstr(vm_storage_reason(vm("b")), "copy: no disk can lie over this image"));
	free(vm("b")->row->storage);
	vm("b")->row->storage = strdup("reflink"); /* of a daemon before */
	CHECK(strstr(vm_storage_reason(vm("b")), "reflink: "));
	world_close(&w);
}

/* Each VM keeps the storage that it was made with. */
TEST(another_daemon_with_another_storage)
{
	struct stat st;

	open_cow(true);
	CHECK_INT(world_create(&w, "a", true), OP_DONE);
	world_reopen(&w);
	kernels_find(w.engine.kernels, "k")->cow = true; /* not recorded by this test */
	CHECK_STR(vm("a")->row->storage, "guest-cow");
	CHECK_INT(vm("a")->row->state, VM_RUNNING);
	CHECK(strstr(vm_storage_reason(vm("a")), "guest-cow: "));
	CHECK_INT(world_create(&w, "b", false), OP_DONE);
	CHECK_STR(vm("b")->row->storage, "fake");
	st = look(vm("a")->paths.disk_root);
	CHECK_INT(world_ask(&w, "a", VM_EV_RESTART), OP_DONE);
	CHECK_INT(look(vm("a")->paths.disk_root).st_ino, st.st_ino);
	world_close(&w);
}

TEST(the_image_must_stay_as_it_was)
{
	_err_ struct bg_err *err = NULL;
	struct timespec later[2] = {{.tv_sec = time(NULL) + 60}, {.tv_sec = time(NULL) + 60}};
	struct op *op;

	open_cow(true);
	CHECK_INT(world_create(&w, "a", false), OP_DONE);
	CHECK(image_delete(&w.engine, "img", &op, &err) < 0);
	CHECK_STR(bg_err_code_str(err->code), "image.in_use");
	CHECK_INT(utimensat(AT_FDCWD, image()->rootfs, later, 0), 0);
	CHECK_INT(world_ask(&w, "a", VM_EV_START), OP_FAILED);
	CHECK_STR(world_last_code(), "image.invalid");
	later[0].tv_sec = later[1].tv_sec = 1000;
	CHECK_INT(utimensat(AT_FDCWD, image()->rootfs, later, 0), 0);
	kernels_find(w.engine.kernels, "k")->cow = false;
	CHECK_INT(world_ask(&w, "a", VM_EV_START), OP_FAILED);
	CHECK_STR(world_last_code(), "kernel.invalid");
	kernels_find(w.engine.kernels, "k")->cow = true;
	CHECK_INT(world_ask(&w, "a", VM_EV_START), OP_DONE);
	CHECK_INT(world_ask(&w, "a", VM_EV_DELETE), OP_DONE);
	/* The image's seeds go with it: the one of its other time, too. */
	CHECK(image_delete(&w.engine, "img", &op, NULL) >= 0);
	CHECK_INT(world_wait(&w, op), OP_DONE);
	CHECK_INT(seeds(), 0);
	world_close(&w);
}

TEST(grows_behind_its_store)
{
	const struct vm_change c = {.disk_mib = 64};
	struct op *op;

	open_cow(true);
	CHECK_INT(world_create(&w, "a", false), OP_DONE);
	CHECK(vm_ask(vm("a"), VM_EV_SET, &(struct vm_options){.change = &c}, &op, NULL) >= 0);
	CHECK_INT(world_wait(&w, op), OP_DONE);
	CHECK_INT(vm("a")->row->disk_mib, 64);
	CHECK_INT(look(vm("a")->paths.disk_root).st_size,
		bg_cow_file_size(MIB, 64 * MIB, BG_COW_CHUNK));
	world_close(&w);
}

static void put(int fd, const void *p, size_t len, uint64_t at)
{
	CHECK_INT(pwrite(fd, p, len, (off_t)at), len);
}

/* As its guest would: chunk 5 is changed, and something is behind the image. */
static void write_disk(const char *path, unsigned chunk)
{
	const struct bg_cow_head head = {htole32(BG_COW_MAGIC), htole32(1), htole32(BG_COW_VERSION),
		htole32(chunk / BG_SECTOR)};
	const struct bg_store_pair pair = {htole64(5), htole64(2)};
	_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	CHECK(fd >= 0);
	put(fd, &head, sizeof(head), 0);
	put(fd, &pair, sizeof(pair), chunk);
	put(fd, "changed", 7, 2 * chunk);
	put(fd, "behind", 6, bg_cow_store_size(MIB, chunk) + 3 * MIB);
}

/* chunk: that of the VM's row */
static void commit_and_read(unsigned chunk)
{
	uint8_t got[7];
	struct image_row *made;
	struct op *op;
	int fd;

	write_disk(vm("a")->paths.disk_root, chunk);
	CHECK(vm_commit(&w.engine, "made", vm("a"), &op, NULL) >= 0);
	CHECK_INT(world_wait(&w, op), OP_DONE);
	made = images_find(w.engine.images, "made");
	CHECK_INT(look(made->rootfs).st_size, made->size_bytes);
	fd = open(made->rootfs, O_RDONLY | O_CLOEXEC);
	CHECK_INT(pread(fd, got, 2, 1024 + 56), 2);
	CHECK(got[0] == 0x53 && got[1] == 0xef);
	CHECK_INT(pread(fd, got, 7, 5 * chunk), 7);
	CHECK(memcmp(got, "changed", 7) == 0);
	CHECK_INT(pread(fd, got, 6, 4 * MIB), 6);
	CHECK(memcmp(got, "behind", 6) == 0);
	close(fd);
}

TEST(becomes_an_image)
{
	open_cow(true);
	CHECK_INT(world_create(&w, "a", false), OP_DONE);
	CHECK_INT(vm("a")->row->cow_chunk, BG_COW_CHUNK);
	commit_and_read(BG_COW_CHUNK);
	CHECK_INT(images_find(w.engine.images, "made")->size_bytes, 16 * MIB);
	world_close(&w);
}

/* Its row does not say how large its chunks are, and they stay what they were. */
TEST(one_that_an_earlier_banger_made)
{
	const struct vm_change c = {.disk_mib = 64};
	struct op *op;

	open_cow(true);
	CHECK_INT(world_create(&w, "a", false), OP_DONE);
	vm("a")->row->cow_chunk = 0;
	CHECK_INT(truncate(vm("a")->paths.disk_root, 0), 0);
	CHECK_INT(truncate(vm("a")->paths.disk_root,
			  (off_t)bg_cow_file_size(MIB, 16 * MIB, BG_COW_CHUNK_OLD)),
		0);
	CHECK(vm_ask(vm("a"), VM_EV_SET, &(struct vm_options){.change = &c}, &op, NULL) >= 0);
	CHECK_INT(world_wait(&w, op), OP_DONE);
	CHECK_INT(look(vm("a")->paths.disk_root).st_size,
		bg_cow_file_size(MIB, 64 * MIB, BG_COW_CHUNK_OLD));
	commit_and_read(BG_COW_CHUNK_OLD);
	world_close(&w);
}

TEST(a_damaged_one_becomes_none)
{
	const uint64_t far = htole64(1 << 30);
	struct op *op;
	int fd;

	open_cow(true);
	CHECK_INT(world_create(&w, "a", false), OP_DONE);
	write_disk(vm("a")->paths.disk_root, BG_COW_CHUNK);
	fd = open(vm("a")->paths.disk_root, O_WRONLY | O_CLOEXEC);
	put(fd, &far, sizeof(far), BG_COW_CHUNK);
	close(fd);
	CHECK(vm_commit(&w.engine, "made", vm("a"), &op, NULL) >= 0);
	CHECK_INT(world_wait(&w, op), OP_FAILED);
	CHECK_STR(world_last_code(), "image.invalid");
	CHECK(!images_find(w.engine.images, "made"));
	world_close(&w);
}

static const char *note_of(const char *name)
{
	static char text[200];
	_json_ json_t *record = vm_to_json(vm(name));
	const json_t *note = json_object_get(record, "disk_note");

	CHECK(note);
	snprintf(text, sizeof(text), "%s", json_is_string(note) ? json_string_value(note) : "");
	return text;
}

/* As long as that boot lasts. */
TEST(a_guest_says_that_its_disk_had_a_failed_write)
{
	open_cow(true);
	world_set_behaviour("disk-repaired");
	CHECK_INT(world_create(&w, "a", true), OP_DONE);
	CHECK(strstr(note_of("a"), "could not be written to"));
	CHECK(!vm("a")->error);
	world_set_behaviour(NULL);
	CHECK_INT(world_ask(&w, "a", VM_EV_RESTART), OP_DONE);
	CHECK_STR(note_of("a"), "");
	CHECK_INT(world_ask(&w, "a", VM_EV_DELETE), OP_DONE);
	world_check_empty(&w);
}
