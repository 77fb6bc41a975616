/* SPDX-License-Identifier: ISC */
/*
 * The command line of banger-launch for one VMM: what of the host it needs (its program, libraries,
 * firmware, /dev/kvm), then what the driver adds of this VM. See vmm_impl.h, common/launch.h.
 */
#include <elf.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/launch.h"
#include "daemon/driver/vmm_impl.h"
#include "daemon/loop/spawn.h"

/* Logs must fit even where disks are tiny. */
#define FILE_BYTES_MIN GIB
#define INTERP_MAX     256

static const char *const grant_words[] = {
#define X(name, word, rights, flags) [BG_LAUNCH_##name] = word,
#include "common/launch_grants.def"
#undef X
};

/* What the dynamic linker and QEMU read; a missing one does not matter. */
static const char *const libraries[] = {"/etc/ld.so.cache", "/lib", "/lib32", "/lib64", "/libx32",
	"/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libx32", "/usr/local/lib", "/usr/local/lib64",
	"/nix/store", "/gnu/store"};
static const char *const firmware[] = {
	"/usr/share/qemu", "/usr/share/qemu-kvm", "/usr/share/seabios", "/usr/share/qemu-firmware"};
static const char *const beside[] = {"lib", "lib64", "share/qemu"}; /* of PREFIX/bin/PROGRAM */

void vmm_grant(struct argv *argv, enum bg_launch_grant grant, const char *path)
{
	argv_add(argv, "--%s", grant_words[grant]);
	argv_add(argv, "%s", path);
}

/* The program header that names the dynamic linker; false for a static program. */
static bool find_interp(int fd, const Elf64_Ehdr *head, char ret[INTERP_MAX])
{
	for (unsigned i = 0; i < head->e_phnum; i++) {
		Elf64_Phdr ph;
		off_t at = (off_t)(head->e_phoff + i * sizeof(ph));

		if (pread(fd, &ph, sizeof(ph), at) != (ssize_t)sizeof(ph))
			return false;
		if (ph.p_type != PT_INTERP || ph.p_filesz >= INTERP_MAX)
			continue;
		memset(ret, 0, INTERP_MAX);
		return pread(fd, ret, ph.p_filesz, (off_t)ph.p_offset) == (ssize_t)ph.p_filesz;
	}
	return false;
}

/* Below PREFIX of a program PREFIX/bin/NAME: a QEMU that the user built has its firmware there. */
static void grant_beside(struct argv *argv, const char *program)
{
	_free_ char *prefix = realpath(program, NULL);

	for (unsigned up = 0; prefix && up < 2; up++)
		*(strrchr(prefix, '/') ? strrchr(prefix, '/') : prefix) = '\0';
	if (bg_isempty(prefix))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(beside); i++) {
		_free_ char *path = NULL;

		if (asprintf(&path, "%s/%s", prefix, beside[i]) < 0)
			argv->failed = true;
		else
			vmm_grant(argv, BG_LAUNCH_READ, path);
	}
}

/* A script could not start what it wants to: it has to be named itself. */
static int grant_program(struct argv *argv, const char *program, struct bg_err **err)
{
	_close_ int fd = open(program, O_RDONLY | O_CLOEXEC);
	char interp[INTERP_MAX];
	Elf64_Ehdr head;

	if (fd < 0)
		return bg_err_sys(err, BG_ERR_VMM_MISSING, errno, "open %s", program);
	if (pread(fd, &head, sizeof(head), 0) != (ssize_t)sizeof(head) ||
		memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 ||
		head.e_ident[EI_CLASS] != ELFCLASS64) {
		bg_err_set(err, BG_ERR_VMM_MISSING, ENOEXEC, "%s is not an ELF program", program);
		bg_err_hint(err,
			"a VMM is sealed and starts no other program: let config.toml name the "
			"program itself, not a script");
		return -ENOEXEC;
	}
	vmm_grant(argv, BG_LAUNCH_RUN, program);
	if (!find_interp(fd, &head, interp))
		return 0;
	vmm_grant(argv, BG_LAUNCH_RUN, interp);
	for (size_t i = 0; i < ARRAY_SIZE(libraries); i++)
		vmm_grant(argv, BG_LAUNCH_READ, libraries[i]);
	for (size_t i = 0; i < ARRAY_SIZE(firmware); i++)
		vmm_grant(argv, BG_LAUNCH_READ, firmware[i]);
	grant_beside(argv, program);
	return 0;
}

int vmm_launch_begin(
	struct argv *argv, const struct vmm_spec *spec, uint64_t file_bytes, struct bg_err **err)
{
	int r;

	argv_add(argv, "%s", spec->launcher);
	argv_add(argv, "--limit");
	argv_add(argv, "%" PRIu64, BG_MAX(file_bytes, (uint64_t)FILE_BYTES_MIN));
	r = grant_program(argv, spec->binary, err);
	if (r < 0)
		return r;
	vmm_grant(argv, BG_LAUNCH_READ, spec->kernel);
	vmm_grant(argv, BG_LAUNCH_READ, spec->initrd);
	vmm_grant(argv, BG_LAUNCH_READ, "/dev/urandom");
	vmm_grant(argv, BG_LAUNCH_DEVICE, "/dev/null");
	if (spec->accel == VMM_ACCEL_KVM)
		vmm_grant(argv, BG_LAUNCH_DEVICE, "/dev/kvm");
	return 0;
}

int vmm_launch(const struct argv *launcher, const struct argv *vmm, struct spawn *spawn,
	struct vmm_process *ret, struct bg_err **err)
{
	_argv_ struct argv all = {0};

	for (size_t i = 0; i < launcher->n; i++)
		argv_add(&all, "%s", launcher->v[i]);
	argv_add(&all, "--");
	for (size_t i = 0; i < vmm->n; i++)
		argv_add(&all, "%s", vmm->v[i]);
	if (launcher->failed || vmm->failed || !argv_finish(&all))
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	spawn->path = all.v[0];
	spawn->argv = argv_finish(&all);
	spawn->new_session = true;
	spawn->holds_term = true;
	return spawn_process(spawn, &ret->pid, &ret->pidfd, err);
}
