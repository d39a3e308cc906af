import { type SettingKey, sections, settingKeys } from '../../src/settings/keys.ts'

export const example = `consul:
  address: http://127.0.0.1:8500
  tokenFile: /run/secrets/consul-token
expose:
  domain: apps.example.com          # a bare tag \`heddle\` gives <service>.apps.example.com
weave:
  cidr: 10.2.0.0/16
  reserved: [10.2.0.0/24]
  docker:                           # by Consul node; leave it out for the local socket alone
    host1: tcp://10.0.0.1:2375
    host2: {url: https://10.0.0.2:2376, ca: /etc/heddle/ca.pem, cert: /etc/heddle/cert.pem, key: /etc/heddle/key.pem}
haproxy:
  bind: [":80"]
  trustedProxies: [10.0.0.0/24]     # the load balancer in front
  monitor: :34180/haproxy_status
  timeouts:
    client: 30s
    server: 2m
apply:
  settle: 20ms / 500ms              # the same as {quiet: 20ms, longest: 500ms}
  reloadEvery: 5s
status:
  listen: 0.0.0.0:8480
  tokenFile: /run/secrets/status-token
`

const introduction = `# Settings

<!-- Generated from src/settings/schema.ts: \`npx vitest run test/settings -u\` writes it anew. -->

heddle reads its settings from four places. A flag counts more than the environment, the environment more than the file,
the file more than the default.

- **Flags**: \`--set KEY=VALUE\` sets any key, and the common ones have a flag of their own (\`heddle --help\`).
- **Environment**: every setting has a variable, shown below. An empty variable is as good as none. Lists are separated by
  commas, maps are written as YAML or JSON. Words of a name may also be joined: \`HEDDLE_HAPROXY_STATSBIND\`. An unknown
  \`HEDDLE_\` variable is an error.
- **Consul's own variables** count less than those of heddle and more than the file: \`CONSUL_HTTP_ADDR\`, \`CONSUL_HTTP_TOKEN\`,
  \`CONSUL_HTTP_TOKEN_FILE\`, \`CONSUL_HTTP_SSL\`, \`CONSUL_CACERT\`, \`CONSUL_CLIENT_CERT\`, \`CONSUL_CLIENT_KEY\`,
  \`CONSUL_TLS_SERVER_NAME\`.
- **File**: YAML, one map inside the other as the dots in the keys say. An empty value means the default. Unknown keys,
  aliases and more than 128 KiB are errors.

All that is wrong is reported at once, with the key, what was expected and where it was written. Durations carry their unit
(\`ms\`, \`s\`, \`m\`, \`h\`, \`d\`). Paths are absolute, but on the command line. Text with brackets needs quotes in a file:
\`bind: ["[::]:80"]\`.

A token and a file that holds it are two ways to write one setting: the higher place that has either counts.

While heddle runs, the file is watched. A change of a **hot** setting counts at once; one that needs a **restart** is reported
and the old value kept. A file with anything wrong in it is reported and changes nothing.

## Example

\`\`\`yaml
${example}\`\`\`
`

const titles: Readonly<Record<string, string>> = {
  consul: 'The catalog',
  expose: 'Which services are exposed, and how they say so',
  weave: 'Addresses of containers',
  haproxy: 'HAProxy',
  files: 'Files that HAProxy reads',
  templates: 'Templates',
  apply: 'When changes are applied',
  guard: 'When a loss is believed',
  status: 'Status page, API and metrics',
  control: 'Control socket',
  log: "heddle's own log",
}

/** docs/settings.md, whole. */
export function settingsPage(): string {
  const groups = (sections.get('') ?? []).map((group) => {
    const settings = settingKeys.filter(({ path }) => path[0] === group)
    return [`## ${group}: ${titles[group]}`, '', ...settings.flatMap(describe), ''].join('\n')
  })
  return `${introduction}\n${groups.join('\n').trimEnd()}\n`
}

function describe(setting: SettingKey): string[] {
  const change = setting.change === 'hot' ? 'hot' : 'needs a restart'
  return [
    `- **\`${setting.key}\`**: ${setting.meaning}.`,
    `  - ${setting.type}${setting.isSecret ? '; never shown' : ''}`,
    `  - default ${printDefault(setting.default)}; ${change}; \`${setting.variables[0]}\``,
  ]
}

function printDefault(standard: SettingKey['default']): string {
  if (standard === null) return 'none'
  return typeof standard === 'string' ? `\`${standard}\`` : `\`${JSON.stringify(standard)}\``
}
