/* SPDX-License-Identifier: ISC */
/* See modinfo.h. Every offset is checked against the file: nothing in it is trusted. */
#include "worker/modinfo.h"

#include <elf.h>

static const void *at(const void *elf, size_t len, uint64_t off, uint64_t size)
{
	return off <= len && size <= len - off ? (const char *)elf + off : NULL;
}

/* Copies: nothing says that a section header is aligned in memory. */
static int section(const void *elf, size_t len, const Elf64_Ehdr *eh, unsigned i, Elf64_Shdr *ret)
{
	const void *p = at(elf, len, eh->e_shoff + (uint64_t)i * sizeof(*ret), sizeof(*ret));

	if (!p || eh->e_shoff > len)
		return -ENOEXEC;
	memcpy(ret, p, sizeof(*ret));
	return 0;
}

static bool named(const char *names, size_t len, uint32_t off, const char *want)
{
	size_t n = strlen(want) + 1;

	return off < len && n <= len - off && memcmp(names + off, want, n) == 0;
}

static int take_section(
	const void *elf, size_t len, const Elf64_Shdr *sh, const char **ret, size_t *ret_len)
{
	const char *p = at(elf, len, sh->sh_offset, sh->sh_size);

	if (!p || sh->sh_type == SHT_NOBITS || sh->sh_size == 0 || p[sh->sh_size - 1] != '\0')
		return -ENOEXEC;
	*ret = p;
	*ret_len = sh->sh_size;
	return 0;
}

int modinfo_find(const void *elf, size_t len, const char **ret, size_t *ret_len)
{
	Elf64_Shdr sh, strtab;
	Elf64_Ehdr eh;
	const char *names;

	if (len < sizeof(eh))
		return -ENOEXEC;
	memcpy(&eh, elf, sizeof(eh));
	if (memcmp(eh.e_ident, ELFMAG, SELFMAG) != 0 || eh.e_ident[EI_CLASS] != ELFCLASS64 ||
		eh.e_ident[EI_DATA] != ELFDATA2LSB || eh.e_shentsize != sizeof(sh))
		return -ENOEXEC;
	if (section(elf, len, &eh, eh.e_shstrndx, &strtab) < 0)
		return -ENOEXEC;
	names = at(elf, len, strtab.sh_offset, strtab.sh_size);
	if (!names || strtab.sh_type == SHT_NOBITS)
		return -ENOEXEC;
	for (unsigned i = 0; i < eh.e_shnum; i++) {
		if (section(elf, len, &eh, i, &sh) < 0)
			return -ENOEXEC;
		if (named(names, strtab.sh_size, sh.sh_name, ".modinfo"))
			return take_section(elf, len, &sh, ret, ret_len);
	}
	return -ENOENT;
}

const char *modinfo_next(const char *info, size_t len, const char *key, const char **pos)
{
	const char *p = *pos ? *pos + strlen(*pos) + 1 : info;
	size_t n = strlen(key);

	for (; p < info + len; p += strlen(p) + 1) {
		if (strncmp(p, key, n) == 0 && p[n] == '=') {
			*pos = p;
			return p + n + 1;
		}
	}
	return NULL;
}

int modinfo_name(const char *path, char *ret, size_t size)
{
	const char *base = strrchr(path, '/');
	size_t len;

	base = base ? base + 1 : path;
	len = strcspn(base, ".");
	if (len == 0 || len >= size)
		return -ENAMETOOLONG;
	for (size_t i = 0; i < len; i++)
		ret[i] = (char)(base[i] == '-' ? '_' : base[i]);
	ret[len] = '\0';
	return 0;
}
