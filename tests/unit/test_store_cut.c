/* SPDX-License-Identifier: ISC */
/*
 * Power cuts, on the strictest disk that POSIX allows: of a file there is what its last sync saw, of a folder the names that it had at
 * its last sync, and nothing else. After each thing that was acknowledged the power is cut: it is there, also when the
 * database is lost as well, and what was deleted stays so. This program's syncs stand before those of libc, for SQLite too.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "daemon/store/batch.h"
#include "daemon/store/rows.h"
#include "tests/unit/store_lib.h"

/* ---- the disk ---- */

/* shadow/INODE: a file's content, or a folder's names with their inodes, as of the last sync. */
static char shadow[256];
static bool recording;

static void run(const char *format, const char *a, const char *b)
{
	char command[1024];

	snprintf(command, sizeof(command), format, a, b);
	CHECK_INT(system(command), 0);
}

static char *join(const char *dir, const char *name)
{
	char *path = NULL;

	CHECK(asprintf(&path, "%s/%s", dir, name) > 0);
	return path;
}

static char *synced(unsigned long long inode)
{
	char number[32];

	snprintf(number, sizeof(number), "%llu", inode);
	return join(shadow, number);
}

static void keep_names(const char *path, FILE *out)
{
	DIR *dir = opendir(path);
	const struct dirent *e;

	CHECK(dir);
	while ((e = readdir(dir)))
		if (e->d_name[0] != '.')
			fprintf(out, "%llu %d %s\n", (unsigned long long)e->d_ino,
				e->d_type == DT_DIR, e->d_name);
	closedir(dir);
}

static void keep_bytes(const char *path, FILE *out)
{
	FILE *in = fopen(path, "re");
	char piece[65536];
	size_t n;

	CHECK(in);
	while ((n = fread(piece, 1, sizeof(piece), in)) > 0)
		fwrite(piece, 1, n, out);
	fclose(in);
}

static int keep(int fd)
{
	_free_ char *to = NULL;
	char link[64], path[512];
	struct stat st;
	ssize_t n;
	FILE *out;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (!recording || n < 0 || fstat(fd, &st) < 0)
		return 0;
	path[n] = '\0';
	if (access(path, F_OK) < 0)
		return 0; /* without a name */
	to = synced((unsigned long long)st.st_ino);
	out = fopen(to, "we");
	CHECK(out);
	if (S_ISDIR(st.st_mode))
		keep_names(path, out);
	else
		keep_bytes(path, out);
	fclose(out);
	return 0;
}

int fsync(int fd)
{
	return keep(fd);
}

int fdatasync(int fd)
{
	return keep(fd);
}

static void bring_back_file(unsigned long long inode, const char *to)
{
	_free_ char *from = synced(inode);

	if (access(from, F_OK) == 0)
		run("cp '%s' '%s'", from, to);
	else
		run(": %s >'%s'", "", to);
}

/* The folder as the disk has it. */
static void bring_back(unsigned long long inode, const char *to)
{
	_free_ char *from = synced(inode);
	unsigned long long child;
	int is_folder;
	char name[256];
	FILE *in;

	CHECK_INT(mkdir(to, 0700), 0);
	in = fopen(from, "re");
	if (!in)
		return; /* its name was synced, what is in it never */
	while (fscanf(in, "%llu %d %255[^\n]\n", &child, &is_folder, name) == 3) {
		_free_ char *path = join(to, name);

		if (is_folder)
			bring_back(child, path);
		else
			bring_back_file(child, path);
	}
	fclose(in);
}

/* ---- the store ---- */

static char state[256];
static struct opened o;
static struct batch b;

static void send_rows(json_t *rows, const char *sync)
{
	json_t *body = json_pack("{s:o}", "rows", rows);

	if (sync)
		json_object_set_new(body, "sync", json_pack("[s, s]", sync, STORE_TRASH));
	CHECK_INT(batch_add(&b, 1, true, body), 0);
	batch_run(&b);
	if (b.message[0].err)
		test_fail(__FILE__, __LINE__, "%s", b.message[0].err->message);
	batch_clear(&b);
}

static void put_vm(const char *id, unsigned vcpus, int vm_state)
{
	struct vm_row row = lib_vm(id, id);

	row.vcpus = vcpus;
	row.state = vm_state;
	send_rows(json_pack("[[s, s, o]]", "vm", id, table_to_json(TABLE_VM, &row, false)), NULL);
}

static void create(const char *id)
{
	put_vm(id, 1, STORE_VM_CREATING);
	run("mkdir -p '%1$s/vms/%2$s' && echo disk >'%1$s/vms/%2$s/root.img'", state, id);
	put_vm(id, 1, STORE_VM_STOPPED);
}

static void delete (const char *id)
{
	put_vm(id, 1, STORE_VM_DELETING);
	run("mkdir -p '%1$s/trash' && mv '%1$s/vms/%2$s' '%1$s/trash/'", state, id);
	send_rows(json_pack("[[s, s, n]]", "vm", id), "vms");
}

/* "aa:1 bb:2": what is there, with its processors. */
static void list_vms(const struct opened *found, char *out, size_t size)
{
	size_t n = 0;

	out[0] = '\0';
	for (size_t i = 0; i < found->rows.n; i++) {
		const struct stored *stored = found->rows.row[i];
		struct vm_row *row;
		void *parsed;

		if (stored->table != TABLE_VM || table_parse(TABLE_VM, stored->text, &parsed) < 0)
			continue;
		row = parsed;
		if (row->state == STORE_VM_STOPPED)
			n += (size_t)snprintf(
				out + n, size - n, "%s%s:%u", n ? " " : "", row->id, row->vcpus);
		vm_row_free(row);
	}
}

static void expect_after(const char *dir, const char *want, const char *how)
{
	struct opened found;
	_err_ struct bg_err *err = NULL;
	char have[512];

	if (store_find(dir, &found, &err) < 0)
		test_fail(__FILE__, __LINE__, "%s: %s", how, err->message);
	list_vms(&found, have, sizeof(have));
	if (!bg_streq(have, want))
		test_fail(__FILE__, __LINE__, "%s: \"%s\", not \"%s\"", how, have, want);
	opened_done(&found);
}

static void cut(const char *want)
{
	_free_ char *to = in_dir("cut");
	struct stat st;

	recording = false;
	CHECK_INT(stat(state, &st), 0);
	bring_back(st.st_ino, to);
	for (int lost = 0; lost < 2; lost++) {
		if (lost)
			run("rm -f '%s'/*.db '%1$s'/*.db-* %s", to, "");
		expect_after(to, want, lost ? "a cut and a lost database" : "a cut");
		/* Each disk that is listed has its bytes. */
		run("for i in '%s'/vms/*/vm.rec; do [ ! -e $i ] || grep -q disk $(dirname "
		    "$i)/root.img || exit 1; done %s",
			to, "");
	}
	run("rm -rf '%s' %s", to, "");
	recording = true;
}

static void begin(void)
{
	_err_ struct bg_err *err = NULL;

	snprintf(state, sizeof(state), "%s/state", test_tmpdir());
	snprintf(shadow, sizeof(shadow), "%s/shadow", test_tmpdir());
	CHECK(mkdir(state, 0700) == 0 && mkdir(shadow, 0700) == 0);
	recording = true;
	if (store_find(state, &o, &err) < 0)
		test_fail(__FILE__, __LINE__, "%s", err->message);
	b = (struct batch){.o = &o, .mode = "ok"};
	cut("");
}

TEST(what_was_acknowledged_survives_a_cut)
{
	begin();
	create("aa");
	cut("aa:1");
	create("bb");
	cut("aa:1 bb:1");
	put_vm("aa", 3, STORE_VM_STOPPED);
	cut("aa:3 bb:1");
	CHECK_INT(ledger_checkpoint(o.ledger, NULL), 0);
	cut("aa:3 bb:1");
	delete ("aa");
	cut("bb:1");
	create("cc");
	cut("bb:1 cc:1");
	opened_done(&o);
	cut("bb:1 cc:1");
}

/* What was begun and not acknowledged is undone or goes on, and is never half of something. */
TEST(what_was_only_begun)
{
	begin();
	create("aa");
	put_vm("bb", 1, STORE_VM_CREATING);
	run("mkdir -p '%1$s/vms/%2$s' && echo disk >'%1$s/vms/%2$s/root.img'", state, "bb");
	cut("aa:1");
	put_vm("aa", 1, STORE_VM_DELETING);
	recording = false; /* the rows say it; without them its record would have it back */
	opened_done(&o);
}

TEST(the_next_generation_is_whole_before_it_counts)
{
	_err_ struct bg_err *err = NULL;

	begin();
	create("aa");
	create("bb");
	CHECK_INT(store_next_generation(&o, &err), 0);
	cut("aa:1 bb:1");
	put_vm("bb", 7, STORE_VM_STOPPED);
	cut("aa:1 bb:7");
	opened_done(&o);
}

/* Files of before are read by it: the sum is CRC-32 as everybody has it, however the bytes come. */
TEST(the_checksum_is_the_known_one)
{
	static const char text[] = "123456789";
	uint8_t bytes[64];

	CHECK(store_crc(0, text, 9) == 0xcbf43926U);
	CHECK(store_crc(0, text, 0) == 0);
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 37 + 11);
	for (size_t cut = 0; cut <= sizeof(bytes); cut++) {
		uint32_t one = 0;

		for (size_t i = 0; i < cut; i++)
			one = store_crc(one, bytes + i, 1);
		CHECK(store_crc(0, bytes, cut) == one);
		CHECK(store_crc(one, bytes + cut, sizeof(bytes) - cut) ==
			store_crc(0, bytes, sizeof(bytes)));
	}
}
