/* SPDX-License-Identifier: ISC */
/* daemon/driver/vmm_probe.c and kvm_probe.c: with scripts for binaries, and with what this machine
 * has. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/fd.h"
#include "daemon/driver/vmm.h"
#include "host/config.h"
#include "host/kvm_probe.h"
#include "tests/driver/spin.h"

static struct loop *loop;
static struct vmm_probe *probe;
static const struct vmm_choice *choice;
static unsigned completed;

static void on_choice(const struct vmm_choice *c, void *userdata)
{
	completed++;
	choice = c;
}

static char *script(const char *name, const char *body)
{
	_free_ char *text = NULL;
	char *path;

	CHECK(asprintf(&path, "%s/%s", test_tmpdir(), name) > 0);
	CHECK(asprintf(&text, "#!/bin/sh\n%s\n", body) > 0);
	CHECK_INT(bg_write_file_at(AT_FDCWD, path, text, strlen(text), 0755), 0);
	return path;
}

static void run(enum config_vmm wanted, const char *firecracker, const char *qemu)
{
	struct config config = {.vmm = wanted,
		.firecracker_bin = (char *)(uintptr_t)firecracker,
		.qemu_bin = (char *)(uintptr_t)qemu};

	CHECK_INT(loop_new(&loop), 0);
	CHECK_INT(vmm_probe_start(loop, &config, on_choice, NULL, &probe, NULL), 0);
	CHECK(!vmm_probe_choice(probe));
	SPIN(loop, completed == 1);
	CHECK(choice == vmm_probe_choice(probe));
	CHECK(!choice->driver == !!choice->err);
	printf("# %s\n", choice->err ? choice->err->message : choice->reason);
}

static void done(void)
{
	vmm_probe_free(probe);
	loop_free(loop);
}

static struct kvm_verdict verdict_here(void)
{
	struct kvm_verdict verdict;

	kvm_probe_run(&verdict);
	return verdict;
}

TEST(verdict_sentences)
{
	struct kvm_verdict v = {.usec = 300000, .step = KVM_STEP_RUN};
	char text[160];

	CHECK(!kvm_verdict_explain(&v, text, sizeof(text)));
	CHECK_STR(
		text, "/dev/kvm emulates every instruction (300 ms for the probe, 20 ms allowed)");
	v.usec = 412;
	CHECK(kvm_verdict_explain(&v, text, sizeof(text)));
	CHECK_STR(text, "KVM runs guests (0.4 ms for the probe)");
	v = (struct kvm_verdict){.error = ENOENT, .step = KVM_STEP_OPEN};
	CHECK(!kvm_verdict_explain(&v, text, sizeof(text)));
	CHECK_STR(text, "there is no /dev/kvm");
	v.error = EACCES;
	CHECK(!kvm_verdict_explain(&v, text, sizeof(text)));
	CHECK(strstr(text, "kvm $USER"));
	v = (struct kvm_verdict){.error = ETIMEDOUT, .step = KVM_STEP_MAX_};
	CHECK(!kvm_verdict_explain(&v, text, sizeof(text)));
	CHECK(strstr(text, "within 1000 ms"));
	v = (struct kvm_verdict){.error = EIO, .step = KVM_STEP_RUN};
	CHECK(!kvm_verdict_explain(&v, text, sizeof(text)));
	CHECK(strstr(text, "run it"));
}

/* The micro guest counts to the end wherever there is a KVM at all, fast or slow. */
TEST(micro_guest_runs)
{
	struct kvm_verdict v = verdict_here();
	char text[160];

	(void)kvm_verdict_explain(&v, text, sizeof(text));
	if (v.step == KVM_STEP_OPEN && v.error != 0)
		test_skip("%s", text);
	printf("# %s; %llu us\n", text, (unsigned long long)v.usec);
	CHECK_INT(v.error, 0);
	CHECK_INT(v.step, KVM_STEP_RUN);
	CHECK(v.usec > 0);
}

TEST(auto_agrees_with_kvm)
{
	struct kvm_verdict v = verdict_here();
	_free_ char *fc = script("firecracker", "echo Firecracker v1.9.1; echo; echo more");
	_free_ char *qemu = script("qemu", "echo 'QEMU emulator version 7.2.22 (Debian 1:7.2)'");
	char text[160];
	bool kvm = kvm_verdict_explain(&v, text, sizeof(text));

	run(CONFIG_VMM_AUTO, fc, qemu);
	CHECK(choice->driver == (kvm ? &vmm_firecracker : &vmm_qemu));
	CHECK_INT(choice->accel, kvm ? VMM_ACCEL_KVM : VMM_ACCEL_TCG);
	CHECK_STR(choice->version, kvm ? "1.9.1" : "7.2.22");
	CHECK_STR(choice->binary, kvm ? fc : qemu);
	CHECK(strstr(choice->reason, kvm ? "Firecracker: " : "QEMU in software: ") ==
		choice->reason);
	done();
}

TEST(firecracker_demanded)
{
	struct kvm_verdict v = verdict_here();
	char text[160];
	bool kvm = kvm_verdict_explain(&v, text, sizeof(text));

	run(CONFIG_VMM_FIRECRACKER, "/nonexistent/firecracker", "qemu");
	CHECK(!choice->driver);
	CHECK_INT(choice->err->code, BG_ERR_VMM_MISSING);
	CHECK(strstr(choice->err->message, kvm ? "/nonexistent/firecracker" : "kvm"));
	CHECK(strstr(choice->err->hint, "auto"));
	done();
}

TEST(no_qemu)
{
	run(CONFIG_VMM_QEMU, "firecracker", "qemu-that-nobody-has");
	CHECK(!choice->driver);
	CHECK_INT(choice->err->code, BG_ERR_VMM_MISSING);
	CHECK(strstr(choice->err->message, "qemu-that-nobody-has is not in PATH"));
	done();
}

TEST(qemu_that_fails)
{
	_free_ char *qemu = script("qemu", "exit 3");

	run(CONFIG_VMM_QEMU, "firecracker", qemu);
	CHECK(!choice->driver);
	CHECK(strstr(choice->err->message, "cannot say its --version"));
	done();
}

TEST(qemu_that_says_nothing_useful)
{
	_free_ char *qemu = script("qemu", "echo hello");

	run(CONFIG_VMM_QEMU, "firecracker", qemu);
	CHECK(!choice->driver);
	done();
}

TEST(qemu_by_path_of_the_environment)
{
	_free_ char *qemu = script("my-qemu", "echo QEMU emulator version 9.0");

	setenv("PATH", test_tmpdir(), 1);
	run(CONFIG_VMM_QEMU, "firecracker", "my-qemu");
	CHECK(choice->driver == &vmm_qemu);
	CHECK_STR(choice->binary, qemu);
	done();
}

TEST(real_qemu)
{
	if (access("/usr/bin/qemu-system-x86_64", X_OK) < 0)
		test_skip("/usr/bin/qemu-system-x86_64 is not installed");
	run(CONFIG_VMM_QEMU, "firecracker", "qemu-system-x86_64");
	CHECK(choice->driver == &vmm_qemu);
	CHECK(choice->version[0] >= '5' || choice->version[1] != '.');
	done();
}

TEST(fake_by_environment)
{
	setenv("BANGER_FAKE_VMM", "/path/fake-vmm", 1);
	run(CONFIG_VMM_AUTO, "firecracker", "qemu-system-x86_64");
	CHECK(choice->driver == &vmm_fake);
	CHECK_STR(choice->binary, "/path/fake-vmm");
	done();
}

TEST(freed_while_a_child_runs)
{
	_free_ char *qemu = script("qemu", "exec sleep 100");
	struct config config = {.vmm = CONFIG_VMM_QEMU,
		.firecracker_bin = (char *)(uintptr_t) "f",
		.qemu_bin = qemu};

	CHECK_INT(loop_new(&loop), 0);
	CHECK_INT(vmm_probe_start(loop, &config, on_choice, NULL, &probe, NULL), 0);
	spin_for(loop, 5 * 1000);
	vmm_probe_free(probe);
	spin_for(loop, 5 * 1000);
	CHECK_INT(completed, 0);
	loop_free(loop);
}
