package main

// topic is what dx help NAME prints.
type topic struct{ name, title, text string }

func topicNames() []string {
	var out []string
	for _, t := range topics() {
		out = append(out, t.name)
	}
	return out
}

// topics are those of help; the man pages have their texts too.
func topics() []topic {
	return []topic{
		{"references", "How to name a container", referencesHelp},
		{"formatting", "How to choose what is printed", formattingHelp},
		{"exit-codes", "What exit codes mean", exitCodesHelp},
		{"environment", "Which variables and files matter", environmentHelp + "\n\nFiles:\n" + filesHelp},
	}
}

const referencesHelp = `  web, /web              a name, of the engine that is asked
  1791a1c5bcbb, 179      an ID, or a prefix that only one container has
  docker:web             a container of any dockerd on this host
  containerd:default/web a container of that containerd namespace, by ID or nerdctl's name
  k8s:prod/pod/web       a container of a Kubernetes pod; k8s:prod/pod if it has one
  compose:shop/web       the container of a service of Docker Compose's; compose:shop/web/2
  podman:web, cri-o:ID   a container of Podman's, of CRI-O's
  podman:al/web, docker:al/web
                         of the rootless engines of a user, al
  lxc:lx1, machine:nsp1, runc:b1
                         of LXC, systemd-machined, of runc or crun alone
  ci//web                a container that runs in the container ci (Docker in Docker)
  pid:4711               any process
  host, host:            the host's init

The engine that -H, --context, DOCKER_HOST, DOCKER_CONTEXT or the current context
names is the only one that is asked. If nobody named one, docker's default is asked first,
and the host's other engines for what it does not know. Where two containers could be
meant, dx lists both and enters neither. The names that dx ps prints are understood by
every verb.`

const formattingHelp = `  --format table            the table (default)
  --format json             one JSON object a line, never cut
  --format '{{.Name}}'      a Go template for each line, with docker's functions:
                            json, join, lower, upper, title, split, truncate, pad, println
  --format 'table {{.Name}}\t{{.Pid}}'
                            a table of these columns, with headings
  --no-trunc                cut nothing
  -q                        IDs only

Fields are the keys of --format json. In a shell with completion, {{.<TAB> lists them.
Tables show characters that a terminal would act on as \x1b and the like; JSON escapes
them; templates print them as they are, unless the output is a terminal.`

const exitCodesHelp = `  0        success
  1        there is no such container, it does not run, or the engine refuses: as docker;
           too few or too many arguments
  125      dx itself failed or refused before the container was touched; a wrong flag
  126      the command cannot be executed
  127      the command was not found
  128+N    the command, or dx, was ended by signal N
  other    the command's own

  dx diff    0 no difference, 1 they differ, 125 any error; of one container 0, or 1 on an error
  dx doctor  0 healthy, 1 degraded, 2 hung, 125 wrong flags`

const environmentHelp = `  DOCKER_HOST          the engine to ask, as -H
  DOCKER_CONTEXT       the docker context that names it, as --context
  DOCKER_CONFIG        docker's configuration directory (default ~/.docker)
  DOCKER_TLS_VERIFY, DOCKER_TLS, DOCKER_CERT_PATH
                       TLS for a tcp:// engine, as for docker
  SUDO_UID, SUDO_USER  behind sudo: the contexts of the user who called it come after root's;
                       only files that are his own are read
  DX_SOURCE            the default of --source
  DX_API_TIMEOUT       the default of --api-timeout
  DOCKER_API_VERSION   the API version to speak, instead of the newest that both know
  NO_COLOR             no colors, whatever its value; --color goes before it
  CLICOLOR_FORCE       colors also off a terminal, unless it is 0
  SHELL                the shell of dx unshare, and of dx debug --host-tools

Docker's global flags are taken before the verb and behind it: -c, -H, --config, --tls,
--tlsverify, --tlscacert, --tlscert, --tlskey; -D, --debug, -l and --log-level change nothing,
and are options of the verb's own where it has such.`

const filesHelp = `  /var/run/docker.sock     the engine, unless another is named
  ~/.docker/config.json    the current context, detachKeys, psFormat
  ~/.docker/contexts       docker's contexts
  ~/.docker/cli-plugins/docker-dx
                           dx as docker's plugin (dx plugin install)
  /proc, /sys/fs/cgroup    where the truth is`
