/* SPDX-License-Identifier: ISC */
/* See bzimage.h. */
#include "worker/bzimage.h"

#include <elf.h>

#define SETUP_SECTS    0x1f1
#define BOOT_FLAG      0x1fe
#define HEADER_MAGIC   0x202
#define SYSSIZE	       0x1f4 /* of what follows the setup sectors, in 16 bytes */
#define PROTOCOL       0x206
#define KERNEL_VERSION 0x20e
#define XLOADFLAGS     0x236
#define KERNEL_64      1 /* a bit of XLOADFLAGS: it has the 64-bit entry */
#define PAYLOAD_OFFSET 0x248
#define PAYLOAD_LENGTH 0x24c
#define HEADER_END     0x250

static uint16_t le16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t le32(const uint8_t *p)
{
	return le16(p) | (uint32_t)le16(p + 2) << 16;
}

bool elf_is_x86_64(const uint8_t *head, size_t len)
{
	Elf64_Ehdr eh;

	if (len < sizeof(eh))
		return false;
	memcpy(&eh, head, sizeof(eh));
	return memcmp(eh.e_ident, ELFMAG, SELFMAG) == 0 && eh.e_ident[EI_CLASS] == ELFCLASS64 &&
	       eh.e_ident[EI_DATA] == ELFDATA2LSB && eh.e_machine == EM_X86_64 &&
	       (eh.e_type == ET_EXEC || eh.e_type == ET_DYN);
}

enum kernel_format kernel_format(const uint8_t *head, size_t len)
{
	if (len >= 8 && memcmp(head, "!<arch>\n", 8) == 0)
		return KERNEL_DEB;
	if (len >= 4 && memcmp(head, "\xed\xab\xee\xdb", 4) == 0)
		return KERNEL_RPM;
	if (elf_is_x86_64(head, len))
		return KERNEL_ELF;
	if (len >= HEADER_END && le16(head + BOOT_FLAG) == 0xaa55 &&
		memcmp(head + HEADER_MAGIC, "HdrS", 4) == 0)
		return KERNEL_BZIMAGE;
	return KERNEL_NONE;
}

int kernel_release_copy(const char *p, size_t len, char ret[static KERNEL_RELEASE_MAX])
{
	size_t i;

	for (i = 0; i < len && p[i] != ' ' && p[i] != '\0'; i++) {
		bool ok = (p[i] >= '0' && p[i] <= '9') || (p[i] >= 'a' && p[i] <= 'z') ||
			  (p[i] >= 'A' && p[i] <= 'Z') || strchr("._+~-", p[i]);

		if (!ok || i + 1 >= KERNEL_RELEASE_MAX)
			return -EINVAL;
		ret[i] = p[i];
	}
	ret[i] = '\0';
	return i == 0 || ret[0] == '.' || ret[0] == '-' ? -EINVAL : 0;
}

int bzimage_release(const uint8_t *head, size_t len, char ret[static KERNEL_RELEASE_MAX])
{
	size_t off;

	if (kernel_format(head, len) != KERNEL_BZIMAGE)
		return -EINVAL;
	off = le16(head + KERNEL_VERSION);
	if (off == 0 || off + 0x200 >= len)
		return -ENOENT;
	off += 0x200;
	return kernel_release_copy(
		(const char *)head + off, BG_MIN(len - off, (size_t)KERNEL_RELEASE_MAX), ret);
}

int bzimage_payload(const uint8_t *head, size_t len, uint64_t *offset, uint64_t *size)
{
	unsigned sects;

	if (kernel_format(head, len) != KERNEL_BZIMAGE || le16(head + PROTOCOL) < 0x0208)
		return -EINVAL;
	sects = head[SETUP_SECTS] ? head[SETUP_SECTS] : 4;
	*offset = (sects + 1) * 512ULL + le32(head + PAYLOAD_OFFSET);
	*size = le32(head + PAYLOAD_LENGTH);
	return *size < 16 ? -EINVAL : 0;
}

static int wrong(const char *what, const char **why)
{
	*why = what;
	return -EINVAL;
}

int bzimage_check(const uint8_t *head, size_t len, uint64_t size, const char **why)
{
	uint64_t offset, payload, code;

	if (kernel_format(head, len) != KERNEL_BZIMAGE)
		return wrong("has a kernel image that is neither bzImage nor vmlinux", why);
	if (le16(head + PROTOCOL) < 0x020c || !(le16(head + XLOADFLAGS) & KERNEL_64))
		return wrong("has a kernel image that is not for x86-64", why);
	code = ((head[SETUP_SECTS] ? head[SETUP_SECTS] : 4) + 1) * 512ULL;
	/* The size is rounded up to 16 bytes, in some versions to a sector. */
	if (code + le32(head + SYSSIZE) * 16ULL > size + 512)
		return wrong("has a kernel image that is cut off", why);
	if (bzimage_payload(head, len, &offset, &payload) < 0 || offset > size ||
		payload > size - offset)
		return wrong("has a kernel image that is cut off", why);
	return 0;
}

int vmlinux_check(const uint8_t *head, size_t len, uint64_t size, const char **why)
{
	bool loads = false;
	Elf64_Ehdr eh;
	Elf64_Phdr ph;

	if (!elf_is_x86_64(head, len))
		return wrong("has a kernel image that is neither bzImage nor vmlinux", why);
	memcpy(&eh, head, sizeof(eh));
	if (eh.e_phentsize != sizeof(ph) || eh.e_phoff > len ||
		eh.e_phnum > (len - eh.e_phoff) / sizeof(ph))
		return wrong("is an ELF file, but not a kernel", why);
	for (size_t i = 0; i < eh.e_phnum; i++) {
		memcpy(&ph, head + eh.e_phoff + i * sizeof(ph), sizeof(ph));
		if (ph.p_type == PT_INTERP)
			return wrong("is a program, not a kernel", why);
		if (ph.p_type != PT_LOAD)
			continue;
		loads = true;
		if (ph.p_offset > size || ph.p_filesz > size - ph.p_offset)
			return wrong("has a kernel image that is cut off", why);
	}
	return loads ? 0 : wrong("is an ELF file, but not a kernel", why);
}
