/* SPDX-License-Identifier: ISC */
/*
 * guest_conf.h: what bangerd tells banger-init about the VM it boots. bangerd
 * appends a small newc cpio archive to the initramfs with the files below; the
 * image is never touched for it. Read once by banger-init, before the root file
 * system is mounted.
 *
 *   /banger/vm.conf             lines "key value\n", the keys below, in any order
 *   /banger/ssh_host_ed25519_key     private host key in OpenSSH format, mode 0600
 *   /banger/authorized_keys     the user's public keys, mode 0600
 *   /banger/modules             (from the kernel's archive) "name.ko" lines in load order;
 *                               files lie in /banger/ko/
 *   /banger/modules.dm          the same, of device-mapper: loaded when `base` is set
 */
#ifndef BG_COMMON_GUEST_CONF_H
#define BG_COMMON_GUEST_CONF_H

#define BG_GUEST_DIR	    "/banger"
#define BG_GUEST_CONF	    "/banger/vm.conf"
#define BG_GUEST_HOST_KEY   "/banger/ssh_host_ed25519_key"
#define BG_GUEST_AUTH_KEYS  "/banger/authorized_keys"
#define BG_GUEST_MODULES    "/banger/modules"
#define BG_GUEST_MODULES_DM "/banger/modules.dm"
#define BG_GUEST_MODULE_DIR "/banger/ko"
#define BG_GUEST_CONF_MAX   (16 * 1024)

/*
 * Keys of vm.conf. Unknown keys are ignored (an older agent with a newer daemon);
 * missing ones that are marked * stop the boot with a message on the console.
 *
 *   id        *  32 hex digits, the VM id
 *   hostname  *  the VM's name
 *   root         block device of the root file system, e.g. "vda"; this one or the next four
 *   base         block device of the image, read-only, that the root is joined of in the guest
 *   own          block device of what the VM wrote: a snapshot store, then the disk's tail
 *   store        sectors of that store, whole chunks
 *   chunk        sectors of a chunk of it, 8 or 32
 *   work         block device of the work disk, mounted at /root
 *   modules      block device of the kernel's module tree, an ext4 file system with "<release>/"
 *                at its top, bound read-only to /lib/modules/<release> unless the image has it
 *   addr         guest IPv4 address, dotted, used as /32
 *   gateway      IPv4 address reachable on eth0 directly; the default route goes there
 *   mac          informative
 *   dns          IPv4 address for /etc/resolv.conf
 *   agent     *  "virtio" (serial port BG_AGENT_PORT) or "vsock" (BG_AGENT_VSOCK_PORT)
 *   poweroff     "off" or "reset": which machine call ends this VMM at shutdown (default "off")
 *   setup        "ssh" or "init" (and ssh): what an image that lacks it is given by its own package
 *                manager at the first boot; the network must reach its packages
 *   time         seconds since the epoch, set when the guest's clock is behind it
 */

#endif
