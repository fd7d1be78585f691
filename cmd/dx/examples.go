package main

// examplesOf are three uses of a verb, which tests run where they can. Each is a command,
// at least two blanks, and a comment.
func examplesOf(verb string) string {
	switch verb {
	case "completion":
		return `  dx completion bash                        # the script itself
  dx completion zsh                         # for zsh
  dx completion fish                        # for fish`
	case "debug":
		return `  dx debug web                              # a shell with tools, also where web has none
  dx debug web ps aux                       # one of the tools
  dx debug --host-tools web sh -c 'ls /container'
                                            # the host's programs in web's namespaces`
	case "diff":
		return `  dx diff web db                            # what differs between the two
  dx diff web host                          # how far web is from the host
  dx diff --format json web db              # the same for a program`
	case "doctor":
		return `  dx doctor                                 # is something stuck, and what to do
  dx doctor --format json                   # for monitoring; the exit code says it too
  dx doctor --watch                         # report what changes`
	case "exec":
		return `  dx exec -it web sh                        # a shell, as docker exec gives it
  dx exec -u root -e A=1 web id             # as that user, with a variable
  dx exec --explain web true                # the system calls of that exec, and why
  dx exec --ns net web cat /proc/net/dev    # a program of the host in web's network`
	case "inspect":
		return `  dx inspect web                            # the kernel's side next to Docker's
  dx inspect --format json web              # all of it, for a program
  dx inspect --format '{{.Name}} {{.Pid}}' web
                                            # two facts`
	case "map":
		return `  dx map                                    # who shares what, as SVG
  dx map -o html web db                     # one page, of these two
  dx map -o mermaid                         # for a README`
	case "ns":
		return `  dx ns                                     # all running containers next to the host
  dx ns web db                              # what the two share
  dx ns --tree                              # who owns which namespace`
	case "plugin":
		return `  dx plugin install                         # from then on: docker dx exec …
  dx plugin install --system                # for all users
  dx plugin uninstall                       # remove the link`
	case "ps":
		return `  dx ps                                     # what runs, also when docker ps hangs
  dx ps -a --filter status=exited           # what has ended
  dx ps --format 'table {{.Name}}\t{{.Pid}}'
                                            # two columns`
	case "shell":
		return `  dx shell web                              # the best shell that web has
  dx shell -u root web                      # as root
  dx shell web -c 'echo $0'                 # words for the shell`
	case "top":
		return `  dx top web                                # its processes, by both PIDs
  dx top --sort rss web                     # the largest first
  dx top --format json web                  # for a program`
	case "unshare":
		return `  dx unshare --pid --mount-proc ps          # alone in a PID namespace
  dx unshare -r id                          # root of a user namespace
  dx unshare --uts --hostname box hostname  # another name`
	case "version":
		return `  dx version                                # dx, kernel and engine
  dx version --format json                  # for a program
  dx version --format '{{.Client.Version}}' # dx's alone`
	case "who":
		return `  dx who 1                                  # whose process is it
  dx who :8080                              # who listens there
  dx who if:eth0 ip:172.17.0.2              # whose interface, whose address`
	}
	return ""
}
