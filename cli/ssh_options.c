/* SPDX-License-Identifier: ISC */
/* See ssh_options.h and ssh_config(5). What is only taste (ciphers, escape character, keep-alives)
 * stays the user's. */
#include "cli/ssh_options.h"

#include <stddef.h>

const struct ssh_option ssh_options[] = {
	{"IgnoreUnknown", "*"},
	/* who the other side is */
	{"StrictHostKeyChecking", "yes"},
	{"GlobalKnownHostsFile", "/dev/null"},
	{"CheckHostIP", "no"},
	{"VerifyHostKeyDNS", "no"},
	{"UpdateHostKeys", "no"},
	{"HostKeyAlgorithms", "ssh-ed25519"},
	/* who we are */
	{"IdentitiesOnly", "yes"},
	{"PubkeyAuthentication", "yes"},
	{"PubkeyAcceptedKeyTypes", "ssh-ed25519"},
	{"PreferredAuthentications", "publickey"},
	{"PasswordAuthentication", "no"},
	{"KbdInteractiveAuthentication", "no"},
	{"HostbasedAuthentication", "no"},
	{"GSSAPIAuthentication", "no"},
	{"PKCS11Provider", "none"},
	{"AddKeysToAgent", "no"},
	/* how it is reached */
	{"Port", "22"},
	{"AddressFamily", "any"},
	{"CanonicalizeHostname", "no"},
	{"ControlMaster", "no"},
	{"ControlPath", "none"},
	{"ControlPersist", "no"},
	/* what runs */
	{"RemoteCommand", "none"},
	{"RequestTTY", "auto"},
	{"SessionType", "default"},
	{"StdinNull", "no"},
	{"ForkAfterAuthentication", "no"},
	{"PermitLocalCommand", "no"},
	/* what of ours the VM gets at: only what is asked for (-A, -X) */
	{"ForwardAgent", "no"},
	{"ForwardX11", "no"},
	{"ForwardX11Trusted", "no"},
	{"GSSAPIDelegateCredentials", "no"},
	{"Tunnel", "no"},
	{NULL, NULL},
};
