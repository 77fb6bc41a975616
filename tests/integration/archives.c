/* SPDX-License-Identifier: ISC */
/*
 * archives.c: libarchive writes what it can; what it refuses to write (a wrong head, a bzImage) is
 * put together by hand.
 */
#include "tests/integration/archives.h"

#include <elf.h>
#include <locale.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/fd.h"
#include "tests/lib/test.h"

struct archive *tar_begin(int fd, int filter)
{
	struct archive *a = archive_write_new();

	CHECK(a);
	setlocale(LC_CTYPE, "C.UTF-8"); /* names with non-ASCII bytes */
	CHECK_INT(archive_write_set_format_pax(a), 0);
	CHECK_INT(archive_write_add_filter(a, filter), 0);
	CHECK_INT(archive_write_open_fd(a, fd), 0);
	return a;
}

struct archive *cpio_begin(int fd, int filter)
{
	struct archive *a = archive_write_new();

	CHECK(a);
	CHECK_INT(archive_write_set_format_cpio_newc(a), 0);
	CHECK_INT(archive_write_add_filter(a, filter), 0);
	CHECK_INT(archive_write_open_fd(a, fd), 0);
	return a;
}

static void write_entry(struct archive *a, struct archive_entry *e, const char *data, size_t len)
{
	CHECK_INT(archive_write_header(a, e), 0);
	if (len)
		CHECK(archive_write_data(a, data, len) == (la_ssize_t)len);
	archive_entry_free(e);
}

void tar_add(struct archive *a, const char *name, unsigned type, unsigned mode, const char *data)
{
	struct archive_entry *e = archive_entry_new();
	size_t len = data ? strlen(data) : 0;

	archive_entry_set_pathname(e, name);
	archive_entry_set_filetype(e, type);
	archive_entry_set_perm(e, (mode_t)mode);
	archive_entry_set_size(e, (la_int64_t)len);
	archive_entry_set_mtime(e, 1000000000, 0);
	write_entry(a, e, data, len);
}

void tar_link(struct archive *a, const char *name, const char *target, int hard)
{
	struct archive_entry *e = archive_entry_new();

	archive_entry_set_pathname(e, name);
	archive_entry_set_filetype(e, hard ? AE_IFREG : AE_IFLNK);
	archive_entry_set_perm(e, 0777);
	archive_entry_set_size(e, 0); /* cpio asks for one */
	if (hard)
		archive_entry_set_hardlink(e, target);
	else
		archive_entry_set_symlink(e, target);
	write_entry(a, e, NULL, 0);
}

void tar_end(struct archive *a, int fd)
{
	CHECK_INT(archive_write_close(a), 0);
	archive_write_free(a);
	CHECK(lseek(fd, 0, SEEK_SET) == 0);
}

static void put32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

size_t make_bzimage(uint8_t *out, size_t room, const char *release, const void *payload, size_t len)
{
	const size_t start = 5 * 512; /* four setup sectors and the boot sector */

	CHECK(start + 16 + len <= room);
	memset(out, 0, start + 16);
	out[0x1f1] = 4;
	out[0x1fe] = 0x55;
	out[0x1ff] = 0xaa;
	memcpy(out + 0x202, "HdrS\x0f\x02", 6);
	out[0x20e] = 0x00;
	out[0x20f] = 0x02; /* the version stands at 0x200 + 0x200 */
	snprintf((char *)out + 0x400, 200, "%s (x@y) #1", release);
	put32(out + 0x1f4, (uint32_t)(16 + len) / 16);
	put32(out + 0x236, 1); /* 64-bit */
	put32(out + 0x248, 16);
	put32(out + 0x24c, (uint32_t)len);
	memcpy(out + start + 16, payload, len);
	return start + 16 + len;
}

size_t make_module(uint8_t *out, size_t room, const char *info, size_t info_len)
{
	static const char names[] = "\0.modinfo\0.shstrtab";
	Elf64_Shdr sh[3] = {{0}};
	Elf64_Ehdr eh = {.e_type = ET_REL,
		.e_machine = EM_X86_64,
		.e_version = 1,
		.e_ehsize = sizeof(eh),
		.e_shentsize = sizeof(sh[0]),
		.e_shnum = 3,
		.e_shstrndx = 2};
	size_t at = sizeof(eh);

	CHECK(at + info_len + sizeof(names) + sizeof(sh) <= room);
	memcpy(eh.e_ident, ELFMAG, SELFMAG);
	eh.e_ident[EI_CLASS] = ELFCLASS64;
	eh.e_ident[EI_DATA] = ELFDATA2LSB;
	eh.e_ident[EI_VERSION] = EV_CURRENT;
	sh[1] = (Elf64_Shdr){
		.sh_name = 1, .sh_type = SHT_PROGBITS, .sh_offset = at, .sh_size = info_len};
	memcpy(out + at, info, info_len);
	at += info_len;
	sh[2] = (Elf64_Shdr){
		.sh_name = 10, .sh_type = SHT_STRTAB, .sh_offset = at, .sh_size = sizeof(names)};
	memcpy(out + at, names, sizeof(names));
	at += sizeof(names);
	eh.e_shoff = at;
	memcpy(out + at, sh, sizeof(sh));
	memcpy(out, &eh, sizeof(eh));
	return at + sizeof(sh);
}

static void ar_member(int fd, const char *name, const void *data, size_t len)
{
	char head[61];

	snprintf(
		head, sizeof(head), "%-16s%-12d%-6d%-6d%-8o%-10zu`\n", name, 0, 0, 0, 0100644, len);
	CHECK_INT(bg_write_all(fd, head, 60), 0);
	CHECK_INT(bg_write_all(fd, data, len), 0);
	if (len % 2)
		CHECK_INT(bg_write_all(fd, "\n", 1), 0);
}

void make_deb(int fd, const char *tar_name, const void *tar, size_t len)
{
	CHECK_INT(bg_write_all(fd, "!<arch>\n", 8), 0);
	ar_member(fd, "debian-binary", "2.0\n", 4);
	ar_member(fd, "control.tar", "", 0);
	ar_member(fd, tar_name, tar, len);
	CHECK(lseek(fd, 0, SEEK_SET) == 0);
}

/* Lead (magic, version 3, type "binary"), signature header, header, both without entries; payload.
 */
void make_rpm(int fd, const void *cpio, size_t len)
{
	static const uint8_t head[16] = {0x8e, 0xad, 0xe8, 1};
	uint8_t lead[96] = {0xed, 0xab, 0xee, 0xdb, 3, 0, 0, 0, 0, 1};

	CHECK_INT(bg_write_all(fd, lead, sizeof(lead)), 0);
	CHECK_INT(bg_write_all(fd, head, sizeof(head)), 0);
	CHECK_INT(bg_write_all(fd, head, sizeof(head)), 0);
	CHECK_INT(bg_write_all(fd, cpio, len), 0);
	CHECK(lseek(fd, 0, SEEK_SET) == 0);
}
