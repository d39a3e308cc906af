import { z } from 'zod'
import { domain, hostName, httpUrl, listenAddress, path, range, socketPath } from './places.ts'
import { fileGroup, haproxySection } from './schema-haproxy.ts'
import { section, setting, settingEngines, settingList, settingSecret } from './setting.ts'
import { choice, duration, fileMode, integer, matching, orElse, orWord, percentage, truth } from './values.ts'

const oneLine = matching('one line of text', /^[^\p{Cc}]{1,4096}$/u)
const token = matching('a token of visible ASCII characters', /^[\x21-\x7e]{1,1024}$/)
const word = matching('a name of letters, digits, `-` and `_`', /^[A-Za-z0-9_-]{1,64}$/)
const node = matching('the name of a Consul node', /^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$/)
const pem = orElse(path('a PEM file'), 'none')
const tokenFile = orElse(path('a file'), 'none')

const consul = section({
  address: setting(httpUrl('http://127.0.0.1:8500'), 'http://127.0.0.1:8500', 'restart', 'the agent to ask'),
  token: settingSecret(token, 'restart', 'ACL token; shown nowhere'),
  tokenFile: setting(tokenFile, 'none', 'restart', 'file that holds the ACL token, instead of `consul.token`'),
  datacenter: setting(orElse(word, 'none'), 'none', 'restart', "datacenter to read; `none`: the agent's own"),
  tls: section({
    ca: setting(pem, 'none', 'restart', 'authorities to believe; `none`: those of the system'),
    cert: setting(pem, 'none', 'restart', 'certificate to show to the agent, together with `consul.tls.key`'),
    key: setting(pem, 'none', 'restart', 'private key of `consul.tls.cert`'),
    serverName: setting(
      orElse(domain, 'none'),
      'none',
      'restart',
      "name in the agent's certificate, if not that of the address",
    ),
  }),
  watch: setting(
    choice('auto', 'nodes', 'services'),
    'auto',
    'restart',
    '`nodes`: two queries for each host; `services`: one for each service with a tag of ours; `auto`: what fits into `consul.maxConnections`, and `services` where the token may not see all',
  ),
  maxConnections: setting(
    orElse(integer(4, 10_000), 'auto'),
    'auto',
    'restart',
    'sockets to the agent; `auto`: three quarters of what the agent takes from a client (200 unless it is told otherwise, so 150), at most 1024',
  ),
  filter: setting(
    orElse(oneLine, 'none'),
    'none',
    'restart',
    'filter expression of Consul, added to what is read: `"x" in Tags` by nodes, `"x" in Service.Tags` by services',
  ),
})

const expose = section({
  by: setting(
    choice('tag', 'all'),
    'tag',
    'hot',
    '`tag`: services with a tag of heddle; `all`: every service, at `<service>.<expose.domain>`',
  ),
  prefix: setting(
    matching('a prefix of lower-case letters, digits, `-` and `_`, beginning with a letter', /^[a-z][a-z0-9_-]{0,31}$/),
    'heddle',
    'hot',
    'first word of the tags and meta keys that heddle reads',
  ),
  domain: setting(orElse(domain, 'none'), 'none', 'hot', 'domain of services that name no host of their own'),
})

const weave = section({
  cidr: setting(range('ipv4'), '10.2.0.0/16', 'hot', 'range that addresses of containers lie in'),
  reserved: settingList(range('ipv4'), ['10.2.0.0/24'], 'hot', "addresses of the hosts' bridges: never a container"),
  docker: settingEngines('hot', 'Docker engines to ask; `local`: the local socket, if there is one; `{}`: none'),
  node: setting(
    orElse(node, 'auto'),
    'auto',
    'hot',
    'Consul node of the local Docker socket; `auto`: what the agent says',
  ),
  router: setting(orElse(httpUrl('http://127.0.0.1:6784'), 'none'), 'none', 'hot', 'HTTP API of a weave router'),
  fallback: setting(
    choice('none', 'node'),
    'none',
    'hot',
    'an instance without a proved weave address is not served (`none`), or at its node and published port (`node`)',
  ),
})

const files = section({
  gid: setting(
    fileGroup,
    'none',
    'restart',
    'number of the group that may read the files, for a HAProxy that runs as another user',
  ),
  mode: setting(fileMode, '0640', 'restart', 'permissions of files; directories get the matching ones, 2750 for 0640'),
})

const apply = section({
  settle: section({
    quiet: setting(
      duration(),
      '20ms',
      'hot',
      'a reload is considered after so long without a change; both may be written in one, `settle: 20ms/500ms`',
    ),
    longest: setting(
      duration(),
      '500ms',
      'hot',
      'a reload is considered after so long at the latest, however much changes',
    ),
  }),
  reloadEvery: setting(duration(), '2s', 'hot', 'shortest time between reloads; up to as much random delay is added'),
  tidy: section({
    quiet: setting(
      duration(),
      '60s',
      'hot',
      'a reload that nobody waits for (it gives a new service its own section, or takes away what is left over) comes after so long without a change; both may be written in one, `tidy: 60s/10m`',
    ),
    longest: setting(duration(), '10m', 'hot', 'and at the latest so long after there was a reason for it'),
  }),
  verify: setting(
    duration(100),
    '30s',
    'hot',
    'all of what runs is read back this often and put right where somebody else has changed it',
  ),
  persist: setting(
    duration(),
    '1s',
    'hot',
    'files and memory on disk follow what changes while HAProxy runs at least this often',
  ),
})

const guard = section({
  window: setting(duration(), '10s', 'hot', 'not in force yet: losses within this time are counted together'),
  hold: setting(duration(), '60s', 'hot', 'not in force yet: a large loss is held for so long before it is believed'),
  panic: setting(
    percentage,
    '50%',
    'hot',
    'not in force yet: when more services than this lose their last passing instance, all keep it',
  ),
  doubtful: setting(
    orWord(duration(), 'forever'),
    'forever',
    'hot',
    'not in force yet, losses on doubtful evidence are always held until they are contradicted; later: held for so long; `forever`: until they are contradicted or released',
  ),
  unreachable: setting(
    truth,
    'on',
    'hot',
    '`on`: an instance that the catalog calls well but neither HAProxy nor heddle gets a connection to gets no new requests until it answers, while its service has others; `off`: HAProxy goes on trying',
  ),
})

const status = section({
  listen: setting(
    listenAddress(0),
    '127.0.0.1:8480',
    'restart',
    'status page, API and metrics; elsewhere than on loopback a token is needed',
  ),
  allowedHosts: settingList(
    hostName,
    [],
    'restart',
    'host names that the page may be asked by; addresses need not be listed',
  ),
  token: settingSecret(token, 'restart', 'token that clients must send; shown nowhere'),
  tokenFile: setting(tokenFile, 'none', 'restart', 'file that holds the token, instead of `status.token`'),
})

const control = section({
  socket: setting(
    orElse(socketPath, 'auto'),
    'auto',
    'restart',
    'lock and control socket; `auto`: `heddle.sock` in `haproxy.directory`',
  ),
})

const log = section({
  level: setting(choice('error', 'warn', 'info', 'debug', 'trace'), 'info', 'hot', 'least important lines to write'),
  format: setting(choice('auto', 'pretty', 'json'), 'auto', 'hot', '`auto`: pretty on a terminal, JSON otherwise'),
})

/**
 * Every setting, with its default, its reader, whether a change is hot, and its meaning. Keys, environment names,
 * docs/settings.md and the type `Settings` all follow from here.
 */
export const settingTree = z
  .strictObject({
    consul,
    expose,
    weave,
    haproxy: haproxySection,
    files,
    templates: setting(
      orElse(path('a directory'), 'bundled'),
      'bundled',
      'restart',
      'directory whose files replace the bundled templates of the same name; trusted as `haproxy.bin` is',
    ),
    apply,
    guard,
    status,
    control,
    log,
  })
  .readonly()

/** From settings as written, as nested text, to what the rest of heddle works with. Durations are milliseconds. */
export const settingsSchema = settingTree.transform((tree) => ({
  ...tree,
  control: { socket: tree.control.socket ?? `${tree.haproxy.directory}/heddle.sock` },
}))

/** Immutable. Null means none, or the automatic choice that its meaning tells. */
export type Settings = Readonly<z.infer<typeof settingsSchema>>
