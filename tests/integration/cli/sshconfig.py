# SPDX-License-Identifier: ISC
"""What users have under Host *, each line of which would break a connection or give a VM something."""

FOR_ALL_HOSTS = b"""Host *
	User somebody
	HostName %h.invalid
	Port 2222
	ProxyCommand false
	ProxyJump bastion.invalid
	RemoteCommand true
	RequestTTY force
	PubkeyAuthentication no
	HostKeyAlias x
	HostKeyAlgorithms ecdsa-sha2-nistp256
	ControlMaster auto
	ControlPath ~/.ssh/%h
	ForwardAgent yes
	ForwardX11 yes
	ForwardX11Trusted yes
	Tunnel yes
	PermitLocalCommand yes
	LocalCommand touch /tmp/here
	UpdateHostKeys yes
	StrictHostKeyChecking no
	LocalForward 1 localhost:1
"""

REACHED = ["user root", "port 22", "pubkeyauthentication true", "hostkeyalgorithms ssh-ed25519", "controlmaster false",
           "forwardagent no", "forwardx11 no", "tunnel false", "permitlocalcommand no", "updatehostkeys false",
           "stricthostkeychecking true", "requesttty auto"]
