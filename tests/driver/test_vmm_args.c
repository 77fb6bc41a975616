/* SPDX-License-Identifier: ISC */
/* Command lines and files of the VMMs as golden text. */
#include <fcntl.h>
#include <stdio.h>

#include "common/fd.h"
#include "daemon/driver/vmm_impl.h"
#include "tests/lib/test.h"

static const char golden_id[] = "00112233445566778899aabbccddeeff";

static const struct vmm_spec golden_spec = {
	.id = golden_id,
	.name = "golden",
	.vcpus = 3,
	.memory_mib = 1536,
	.accel = VMM_ACCEL_KVM,
	.binary = "/usr/bin/vmm",
	.kernel = "/k/vmlinux",
	.initrd = "/k/initrd",
	.disk_root = "/d/root,1.img",
	.disk_work = "/d/work \"2\".img",
	.disk_modules = "/d/modules.img",
	.tap = "bgr3-1",
	.balloon = true,
	.mac = {0x02, 0x62, 0x67, 0x00, 0x03, 0x01},
	.run_dir = "/run/vm",
	.serial_log = "/l/serial,x.log",
	.vmm_log = "/l/vmm.log",
};

static void check_golden(const char *text, const char *name)
{
	_free_ char *want = NULL, *path = NULL;

	CHECK(asprintf(&path, "%s/tests/driver/golden/%s", test_source_dir(), name) > 0);
	CHECK_INT(bg_read_file_at(AT_FDCWD, path, 64 * 1024, &want, NULL), 0);
	if (strcmp(text, want) == 0)
		return;
	printf("# got:\n");
	for (const char *p = text; p && *p; p += strcspn(p, "\n"), p += *p == '\n')
		printf("# %.*s\n", (int)strcspn(p, "\n"), p);
	test_fail(__FILE__, __LINE__, "not as %s", path);
}

TEST(firecracker_config_golden)
{
	_free_ char *text = NULL, *line = NULL;

	CHECK_INT(vmm_firecracker_config(&golden_spec, &text, NULL), 0);
	CHECK(asprintf(&line, "%s\n", text) > 0);
	check_golden(line, "firecracker.json");
}

static struct vmm_spec cow_spec(void)
{
	struct vmm_spec spec = golden_spec;

	spec.disk_base = "/i/base.img";
	return spec;
}

TEST(firecracker_config_over_a_base_golden)
{
	const struct vmm_spec spec = cow_spec();
	_free_ char *text = NULL, *line = NULL;

	CHECK_INT(vmm_firecracker_config(&spec, &text, NULL), 0);
	CHECK(asprintf(&line, "%s\n", text) > 0);
	check_golden(line, "firecracker-base.json");
}

TEST(guest_disks)
{
	CHECK(bg_streq(vmm_guest_disk(VMM_DISK_ROOT, false), "vda"));
	CHECK(bg_streq(vmm_guest_disk(VMM_DISK_MODULES, false), "vdc"));
	CHECK(bg_streq(vmm_guest_disk(VMM_DISK_BASE, true), "vda"));
	CHECK(bg_streq(vmm_guest_disk(VMM_DISK_MODULES, true), "vdd"));
}

TEST(firecracker_config_without_options)
{
	struct vmm_spec spec = golden_spec;
	_free_ char *text = NULL;

	spec.disk_work = spec.disk_modules = spec.tap = NULL;
	spec.balloon = false;
	CHECK_INT(vmm_firecracker_config(&spec, &text, NULL), 0);
	CHECK(!strstr(text, "balloon"));
	CHECK(strstr(text, "\"network-interfaces\": []"));
	CHECK(!strstr(text, "\"work\"") && !strstr(text, "\"modules\""));
}

static char *join_argv(const struct vmm_spec *spec)
{
	_argv_ struct argv argv = {0};
	char *text = strdup("");

	CHECK_INT(vmm_qemu_argv(spec, &argv, NULL), 0);
	for (size_t i = 0; i < argv.n; i++) {
		char *longer;

		CHECK(asprintf(&longer, "%s%s\n", text, argv.v[i]) > 0);
		free(text);
		text = longer;
	}
	return text;
}

TEST(who_gives_memory_back)
{
	CHECK(vmm_has_balloon(&vmm_qemu, "7.2.22"));
	CHECK(vmm_has_balloon(&vmm_qemu, NULL));
	CHECK(!vmm_has_balloon(&vmm_firecracker, "1.13.1"));
	CHECK(vmm_has_balloon(&vmm_firecracker, "1.14.0"));
	CHECK(vmm_has_balloon(&vmm_firecracker, "2.0.0"));
	CHECK(!vmm_has_balloon(&vmm_firecracker, NULL));
}

TEST(qemu_command_line_golden)
{
	_free_ char *text = join_argv(&golden_spec);

	check_golden(text, "qemu.argv");
}

TEST(qemu_command_line_over_a_base_golden)
{
	const struct vmm_spec spec = cow_spec();
	_free_ char *text = join_argv(&spec);

	check_golden(text, "qemu-base.argv");
}

TEST(qemu_command_line_in_software)
{
	struct vmm_spec spec = golden_spec;
	_free_ char *text = NULL;

	spec.accel = VMM_ACCEL_TCG;
	spec.version = "8.1.0";
	spec.disk_work = spec.disk_modules = spec.tap = NULL;
	spec.balloon = false;
	text = join_argv(&spec);
	CHECK(!strstr(text, "balloon"));
	CHECK(strstr(text, "-accel\ntcg,thread=multi,tb-size=128\n-cpu\nmax\n"));
	CHECK(strstr(text, " tsc=reliable tsc_early_khz="));
	CHECK(!strstr(text, "virtio-net") && !strstr(text, "node-name\":\"work"));
}

TEST(old_qemu_emulates_in_one_thread)
{
	static const struct {
		const char *version;
		unsigned vcpus;
		const char *threads;
	} rows[] = {
		{"7.2.22", 2, "single"},
		{"7.2.22", 1, "multi"},
		{"8.0.4", 2, "single"},
		{"8.1.0", 2, "multi"},
		{"10.0.2", 4, "multi"},
		{NULL, 2, "single"},
		{"strange", 2, "single"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct vmm_spec spec = golden_spec;
		_free_ char *text = NULL;
		char expected[64];

		spec.accel = VMM_ACCEL_TCG;
		spec.version = rows[i].version;
		spec.vcpus = rows[i].vcpus;
		text = join_argv(&spec);
		snprintf(expected, sizeof(expected),
			"-accel\ntcg,thread=%s,tb-size=", rows[i].threads);
		CHECK(strstr(text, expected));
	}
}
