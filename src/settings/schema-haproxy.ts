import { directory, listenAddress, logTarget, monitorAddress, program, range, socketPath } from './places.ts'
import { section, setting, settingList } from './setting.ts'
import { choice, duration, integer, matching, orElse, orWord, truth } from './values.ts'

const account = orElse(matching('the name of a user or a group', /^[A-Za-z_][A-Za-z0-9_.-]{0,31}$/), 'none')
const groupId = orElse(integer(0, 4_294_967_294), 'none')
const tenYears = 3650 * 86_400_000

/** HAProxy takes no timeout of 0. */
const timeout = duration(1)

const timeouts = section({
  connect: setting(timeout, '2s', 'hot', 'longest time to reach a server'),
  client: setting(timeout, '60s', 'hot', 'longest silence of a client in the middle of a request or an answer'),
  server: setting(
    timeout,
    '60s',
    'hot',
    'longest silence of a server; `timeout=` of a route or a service overrides it',
  ),
  httpRequest: setting(timeout, '10s', 'hot', 'longest time for a client to send the header lines of a request'),
  httpKeepAlive: setting(
    timeout,
    '75s',
    'hot',
    'longest pause between two requests of a client; more than the idle time of a load balancer in front',
  ),
  queue: setting(timeout, '10s', 'hot', 'longest wait for a server whose `maxconn` is reached, then 503'),
  tunnel: setting(timeout, '1h', 'hot', 'longest silence of a WebSocket or another tunnel'),
  clientFin: setting(timeout, '10s', 'hot', 'longest life of a connection that its client has half closed'),
})

export const haproxySection = section({
  process: setting(
    choice('attach', 'spawn'),
    'attach',
    'restart',
    '`attach` to a HAProxy that runs beside heddle in master-worker mode; `spawn`: start and own one',
  ),
  bin: setting(
    program,
    'haproxy',
    'restart',
    'checks candidates and is what `spawn` starts; same major.minor as what runs',
  ),
  directory: setting(
    directory,
    '/var/lib/heddle',
    'restart',
    'revisions, journal and memory; HAProxy reads `current` in it',
  ),
  masterSocket: setting(
    socketPath,
    '/run/haproxy/master.sock',
    'restart',
    "HAProxy's master socket (`-S`), for reloads",
  ),
  statsSocket: setting(
    socketPath,
    '/run/haproxy/stats.sock',
    'restart',
    "the worker's socket: heddle asks there what runs",
  ),
  user: setting(account, 'none', 'restart', 'account that workers run as; only where heddle runs as root'),
  group: setting(account, 'none', 'restart', 'group that workers run as; only where heddle runs as root'),
  chroot: setting(
    orElse(directory, 'none'),
    'none',
    'restart',
    'root directory of workers; only where heddle runs as root',
  ),
  socketGid: setting(groupId, 'none', 'restart', 'number of the group that may use the stats socket'),
  bind: settingList(listenAddress(), [':80'], 'restart', 'where HAProxy listens for requests'),
  acceptProxy: settingList(range('any'), [], 'hot', 'clients that speak the PROXY protocol'),
  trustedProxies: settingList(
    range('any'),
    [],
    'hot',
    'clients whose `X-Forwarded-*` is believed; from all others it is removed',
  ),
  monitor: setting(
    orElse(monitorAddress, 'none'),
    'none',
    'restart',
    'answers 200 while this edge serves at least one route, else 503: the check of a load balancer in front',
  ),
  maxconn: setting(
    orElse(integer(1, 10_000_000), 'auto'),
    'auto',
    'hot',
    'connections of the whole process; `auto`: what the limit of open files allows',
  ),
  timeouts,
  hardStopAfter: setting(timeout, '15m', 'hot', 'longest life of an old worker after a reload'),
  maxOldWorkers: setting(
    integer(1, 1000),
    '4',
    'hot',
    'old workers at a time; one more ends the oldest (`mworker-max-reloads`)',
  ),
  spares: setting(
    orElse(integer(0, 1000), 'auto'),
    'auto',
    'hot',
    'sections declared ahead, so that a new service needs no reload, and a quarter as many for sticky ones; `auto`: one for every four backends, 16 to 256',
  ),
  paths: setting(
    choice('auto', 'strict', 'plain'),
    'auto',
    'hot',
    '`strict`: 400 for `//`, `;`, `%2f`, `%5c` and needless `%xx` in a path; `plain`: let through; `auto`: strict on hosts whose paths belong to several services',
  ),
  headerNames: setting(
    choice('keep', 'delete', 'reject'),
    'keep',
    'hot',
    'header lines whose names have other characters than letters, digits and `-`',
  ),
  accessLog: setting(truth, 'on', 'hot', 'one line for each request'),
  log: setting(logTarget, 'stdout', 'hot', "where HAProxy's own log goes"),
  statsBind: setting(
    listenAddress(),
    '127.0.0.1:8404',
    'restart',
    "HAProxy's statistics page (read-only) and `/metrics`",
  ),
  maxStartAge: setting(
    orWord(duration(0, tenYears), 'forever'),
    '1h',
    'hot',
    'with `spawn`, files installed longer ago than this are not started with until the catalog has been read; `forever`: always',
  ),
})

/** For files that HAProxy reads as another user. */
export const fileGroup = groupId
