/**
 * The nouns of heddle. This file imports nothing; everything else speaks in these types.
 *
 * All values are immutable. A value that did not change keeps its identity (`===`), which is what makes
 * memoising by WeakMap sound: per service on its instance array, per backend on the `Backend` object.
 */

/** Milliseconds: a point in time since the Unix epoch, or a duration, as the name says. */
export type Ms = number

// ---------------------------------------------------------------------------------------------- observe

/** How far an answer can be believed. `doubtful`: it may be an artefact of a fault (filtered by ACL, index fell). */
export type Evidence = 'fresh' | 'stale' | 'doubtful'

/**
 * What a source last learned of one partition. A source never throws and never yields a bare value:
 * after an error `value` is the last one it had, with `evidence: 'stale'` and the error's text in `why`.
 */
export interface Observation<T> {
  readonly value: T
  readonly evidence: Evidence
  /** Null exactly when the evidence is fresh. */
  readonly why: string | null
  /** When `value` was last confirmed by its source. */
  readonly at: Ms
}

/** The worst of all checks of an instance and of its node; other than in Consul's own UI, critical goes beyond maintenance. */
export type Health = 'passing' | 'warning' | 'critical' | 'maintenance'

/** One registered copy of a service. Text fields are the catalog's own and untrusted. */
export interface Instance {
  /** `node/id`: unique in a datacenter. */
  readonly key: string
  readonly node: string
  readonly nodeAddress: string
  readonly id: string
  readonly service: string
  /** Service address as registered; '' means the node's address. */
  readonly address: string
  /** As registered; may be 0, negative or beyond 65535. */
  readonly port: number
  /** Those that heddle reads; the same of meta. */
  readonly tags: readonly string[]
  readonly meta: ReadonlyMap<string, string>
  /** Address of the tagged address `weave`, if there is one. */
  readonly weaveAddress: string | null
  readonly health: Health
  readonly weights: { readonly passing: number; readonly warning: number }
  readonly createIndex: number
}

/** The catalog by service; instances in byte order of their keys. An unchanged service keeps its array. */
export interface Catalog {
  readonly services: ReadonlyMap<string, readonly Instance[]>
}

/** What the catalog source last learned of one partition. What a doubtful value has is right; what it lacks may be there. */
export interface PartitionObservation extends Observation<readonly Instance[]> {
  /** Keys of the instances that may be there though a doubtful value lacks them; without it: any that were ever known. */
  readonly hidden?: ReadonlySet<string>
}

/**
 * What the catalog source last learned, cut into partitions: nodes or services, by name.
 * A partition that is not in the map has left by a clean answer.
 */
export interface CatalogObservation {
  readonly by: 'node' | 'service'
  readonly partitions: ReadonlyMap<string, PartitionObservation>
}

/** A TCP port of a container that its host publishes. */
export interface PublishedPort {
  readonly hostAddress: string
  readonly hostPort: number
  readonly containerPort: number
}

export type ContainerNetwork =
  | { readonly kind: 'own' }
  | { readonly kind: 'host' }
  | { readonly kind: 'container' /** Full id of the container whose network is shared. */; readonly id: string }

/** One container of a Docker engine, dead ones included. */
export interface Container {
  /** 64 hexadecimal digits. */
  readonly id: string
  /** Without the leading slash. */
  readonly name: string
  readonly running: boolean
  /** RFC 3339, as Docker says it; together with `id` it names one life of a container. */
  readonly startedAt: string
  readonly network: ContainerNetwork
  /** IPv4 addresses: the top-level one first, then those of its networks in byte order of network names. */
  readonly addresses: readonly string[]
  /** TCP ports the container listens on as far as Docker knows (exposed or published), ascending. */
  readonly ports: readonly number[]
  readonly published: readonly PublishedPort[]
}

/** Containers of one engine by full id. */
export type Engine = ReadonlyMap<string, Container>

/** One live name of weaveDNS: no tombstones, no pseudo containers such as `weave:extern`. */
export interface WeaveName {
  /** Lower case, without the trailing dot. */
  readonly hostname: string
  /** Name of the peer (a MAC) that the container runs on. */
  readonly peer: string
  readonly containerId: string
  readonly address: string
}

export interface WeavePeer {
  readonly name: string
  readonly nickName: string
  /** Addresses that other peers reach it by, without ports. */
  readonly addresses: readonly string[]
}

/** What a weave router says. Presence is a hint; absence proves nothing (docs/decisions/007). */
export interface WeaveReport {
  /** Of weaveDNS, lower case and without the trailing dot; '' when it is off. */
  readonly domain: string
  readonly peers: readonly WeavePeer[]
  readonly names: readonly WeaveName[]
  /** From `/ip`: addresses of containers of the router's own host, by container id. */
  readonly owned: ReadonlyMap<string, readonly string[]>
}

/** A server that neither HAProxy nor heddle gets a connection to, while others of its backend answer. */
export interface Unreachable {
  readonly since: Ms
  readonly why: string
}

/** Everything the outside said, at one moment. The only clock of the pure core is `at`. */
export interface World {
  readonly catalog: CatalogObservation
  /** By Consul node name. `unknown`: whether there is one can't be told yet, so what is remembered stays. */
  readonly engines: ReadonlyMap<string, Observation<Engine>> | 'unknown'
  readonly weave: Observation<WeaveReport> | null
  /** By `address:port`. Absent: nobody looks for them. */
  readonly unreachable?: ReadonlyMap<string, Unreachable>
  readonly at: Ms
}

// ---------------------------------------------------------------------------------------------- settings of the core

export interface ModelSettings {
  readonly expose: { readonly by: 'tag' | 'all'; readonly prefix: string; readonly domain: string | null }
  readonly weave: {
    /** IPv4 range in CIDR notation. */
    readonly cidr: string
    readonly reserved: readonly string[]
    readonly fallback: 'none' | 'node'
  }
}

// ---------------------------------------------------------------------------------------------- routes

/** `prefix` matches whole segments, `exact` the path alone, `raw` any continuation of the text. */
export type MatchKind = 'prefix' | 'exact' | 'raw'

export interface Match {
  /** Lower case: a name, `*.name`, or `*` for any host. */
  readonly host: string
  /** Begins with `/`. Of a prefix no `/` at the end, but `/` itself. The mark (`$`, `*`) is not part of it. */
  readonly path: string
  readonly kind: MatchKind
}

/** `host + path + mark`: equal for two routes exactly when they ask for the same requests. See `printMatch`. */
export type MatchKey = string

export type RedirectVariable = 'host' | 'path' | 'query'
/** Literal text and variables in turn. At most three variables. */
export type RedirectPart = { readonly literal: string } | { readonly variable: RedirectVariable }

export interface Redirect {
  readonly code: 301 | 302 | 303 | 307 | 308
  readonly location: readonly RedirectPart[]
}

/** Options of a route that travel as map values and so change at run time. Null: not asked for. */
export interface Rewrite {
  /** Whole-segment prefix to cut, without a `/` at its end; never '' . */
  readonly strip: string | null
  /** Put before the path, without a `/` at its end; never ''. */
  readonly add: string | null
  readonly host: string | null
  readonly timeout: Ms | null
  readonly rawpath: boolean
  readonly redirect: Redirect | null
}

export type Balance = 'roundrobin' | 'leastconn' | 'first' | 'source'

/** Options that choose the backend: each combination of one service has its own section. */
export interface SectionOptions {
  readonly balance: Balance
  /** Name of the cookie, null: not sticky. */
  readonly sticky: string | null
  /** Per server; null: no limit. */
  readonly maxconn: number | null
  readonly proto: 'http' | 'h2c'
}

/**
 * Name of a backend section: the service's name, with `:` and 6 hexadecimal digits where section options differ
 * from the service's own; `x:` and 24 hexadecimal digits for a service whose name is outside `[A-Za-z0-9._-]{1,63}`.
 */
export type BackendId = string

// ---------------------------------------------------------------------------------------------- model

export type AddressSource = 'catalog' | 'weave-address' | 'docker' | 'weave-report' | 'weave-ip' | 'node'

/** HAProxy's administrative state: `drain` takes only sticky users, `maint` nobody. */
export type ServerState = 'ready' | 'drain' | 'maint'

export interface Server {
  /** `address:port`: a moved instance is another server (docs/decisions/003). */
  readonly name: string
  readonly address: string
  readonly port: number
  /** 0 to 256. */
  readonly weight: number
  readonly state: ServerState
  readonly backup: boolean
  /** Which instance it is and what proved its address; HAProxy never sees these. */
  readonly instance: { readonly key: string; readonly id: string; readonly node: string }
  readonly source: AddressSource
}

export interface Backend {
  readonly id: BackendId
  readonly service: string
  readonly section: SectionOptions
  /** In order of address, then port. */
  readonly servers: readonly Server[]
  /** How long requests that run on a server that has left may go on. */
  readonly drain: Ms
}

export interface Route {
  readonly match: Match
  readonly service: string
  /** Null: answered by a redirect. */
  readonly backend: BackendId | null
  readonly rewrite: Rewrite
  readonly priority: number
  /** Set when the service has no instance left: the route goes at that moment. */
  readonly lingersUntil: Ms | null
  /** Where it comes from: the text as written, instances that ask for it, the lowest CreateIndex among them. */
  readonly from: {
    readonly text: string
    readonly instances: readonly string[]
    readonly createIndex: number
    /** False: the text in the catalog is not understood now, this is its last good version. */
    readonly isCurrent: boolean
  }
}

/** All that is wanted of HAProxy. Routes in byte order of their match keys. */
export interface Model {
  readonly routes: readonly Route[]
  readonly backends: ReadonlyMap<BackendId, Backend>
}

/** A defect of the input that a person should see while everything else is served. */
export interface Problem {
  /** Stable; a key of `problemCodes`. */
  readonly code: string
  readonly service: string
  /** Instance key, null when it is the whole service's. */
  readonly instance: string | null
  /** The text at fault, shortened and free of control characters. */
  readonly subject: string
  readonly reason: string
  readonly hint: string
}

/** Where an instance can be reached, with what proved it, or why it can't. */
export type Endpoint =
  | {
      readonly kind: 'reachable'
      readonly instance: Instance
      readonly address: string
      readonly port: number
      readonly source: AddressSource
      /** True when Docker contradicted the catalog and was believed. */
      readonly isCorrected: boolean
      /** The container that proved it, if one did. */
      readonly container: { readonly id: string; readonly name: string; readonly startedAt: string } | null
    }
  | { readonly kind: 'dead'; readonly instance: Instance; readonly why: string }
  | { readonly kind: 'unresolved'; readonly instance: Instance; readonly problem: Problem }

// ---------------------------------------------------------------------------------------------- memory

/** A route as a service asked for it, before anybody else's claims are looked at. Plain data. */
export interface RouteSpec {
  /** Within its service: the match key, or `#NAME` for a named meta key. */
  readonly id: string
  readonly match: Match
  readonly rewrite: Rewrite
  /** Only what the route itself sets; the rest comes from the service. */
  readonly section: Partial<SectionOptions>
  readonly priority: number
  readonly drain: Ms | null
  readonly linger: Ms | null
  readonly text: string
  /** Lowest CreateIndex of the instances that ask, or last asked, for it: the age of the claim. */
  readonly createIndex: number
}

/** What is remembered of a service. */
export interface ServiceMemory {
  /** Last good routes by their match keys, in byte order. */
  readonly routes: ReadonlyMap<MatchKey, RouteSpec>
  /** Last good service options, as written, by name. */
  readonly options: ReadonlyMap<string, string>
  /** Since when no instance is registered. */
  readonly lingeringSince: Ms | null
  /** Since when instances disagree about routes or options. */
  readonly disagreeingSince: Ms | null
  /** Instances in maintenance, by key: since when. */
  readonly draining: ReadonlyMap<string, Ms>
  /** By instance key. */
  readonly bindings: ReadonlyMap<string, Binding>
}

/** Which life of which container was found behind an instance: an address alone proves nothing after reuse. */
export interface Binding {
  readonly container: string
  /** Of the container: its successor bears it again. */
  readonly name: string
  readonly startedAt: string
  /** The container's own port, which the registered one stood for. */
  readonly port: number
  /** What was registered when it was bound, see `registrationOf`; anything else is news from the catalog. */
  readonly address: string
  /** Of the instance when it was bound; another one is a new registration. */
  readonly createIndex: number
}

/** The only thing the past may tell the present. Plain data, saved, shown, part of a snapshot. */
export interface Memory {
  /** The catalog last admitted. */
  readonly catalog: Catalog
  readonly engines: ReadonlyMap<string, Engine>
  readonly weave: WeaveReport | null
  /** Incumbent service of each match. */
  readonly owners: ReadonlyMap<MatchKey, string>
  readonly services: ReadonlyMap<string, ServiceMemory>
}

export interface Decision {
  readonly model: Model
  readonly memory: Memory
  /** In order of service, code, instance, subject. */
  readonly problems: readonly Problem[]
  /** What became of every instance of an exposed service. */
  readonly endpoints: ReadonlyMap<string, readonly Endpoint[]>
  /** When to decide again though nothing new was seen; null: never. */
  readonly wakeAt: Ms | null
  /** Deciding again on the same world with this memory gives the same. */
  readonly isSettled: boolean
}

// ---------------------------------------------------------------------------------------------- render

export interface RenderSettings {
  readonly bind: readonly string[]
  readonly acceptProxy: readonly string[]
  readonly trustedProxies: readonly string[]
  /** `ADDRESS:PORT/URI` of the monitor frontend. */
  readonly monitor: string | null
  readonly maxconn: number | null
  /** Durations in milliseconds. */
  readonly timeouts: {
    readonly connect: Ms
    readonly client: Ms
    readonly server: Ms
    readonly httpRequest: Ms
    readonly httpKeepAlive: Ms
    readonly queue: Ms
    readonly tunnel: Ms
    readonly clientFin: Ms
  }
  readonly hardStopAfter: Ms
  readonly maxOldWorkers: number
  /** Sections declared ahead for new services; null: by the number of backends. */
  readonly spares: number | null
  readonly paths: 'auto' | 'strict' | 'plain'
  readonly headerNames: 'keep' | 'delete' | 'reject'
  readonly accessLog: boolean
  /** `stdout`, `stderr`, or an address of a syslog server as HAProxy writes it. */
  readonly log: string
  readonly statsBind: string
  /** Absolute path of the stats socket. */
  readonly statsSocket: string
  readonly socketGid: number | null
  readonly user: string | null
  readonly group: string | null
  readonly chroot: string | null
}

/** One whole set of files, ready to be checked and installed. */
export interface Candidate {
  /** 12 hexadecimal digits over model, templates and rendering settings; never over number, time or paths. */
  readonly hash: string
  /** Over routes, servers and options only: what many edges compare. */
  readonly routesHash: string
  /** Over everything but server lines and map contents; stands in `global description`. */
  readonly structure: string
  /** Digest of each part of the structure (`:global`, then backends by id): why two structures differ. */
  readonly parts: ReadonlyMap<string, string>
  /**
   * Digests of what the structure is made of, but for the names of sections: where all of them have been accepted by
   * `haproxy -c` in some set of files, this set is too.
   */
  readonly shapes: ReadonlySet<string>
  /** Entries of each map file, by file name, in byte order of keys: the members that are not servers. */
  readonly maps: ReadonlyMap<string, ReadonlyMap<string, string>>
  /**
   * File name to content, in pieces: these live on from one candidate to the next, and together are as large as it all. To be
   * written one after the other, with nothing between them.
   */
  readonly files: ReadonlyMap<string, readonly string[]>
}

// ---------------------------------------------------------------------------------------------- running, plan

export interface RunningServer {
  readonly weight: number
  readonly state: ServerState
  /** `address:port` it really connects to; other than its name where somebody else has changed it. */
  readonly address: string
  /** Options that HAProxy doesn't tell (`maxconn`, `proto`, `backup`), as printed; null: not known. */
  readonly words: string | null
}

/** What the worker that serves now really has, as read back from it. Backends go by their own ids, wherever they sit. */
export interface Running {
  readonly pid: number
  /** Of the running worker, `2.6.12-1+deb12u4`. */
  readonly version: string
  /** `global description`; '' when it carries none. */
  readonly structure: string
  /** The entry of revision.map; '' when there is none. */
  readonly revision: string
  /** Backends that sit in a spare section, with its name; null: this configuration can't have any. */
  readonly seats: ReadonlyMap<BackendId, string> | null
  /** Those with servers. A spare that has servers and no backend goes by its own name. */
  readonly servers: ReadonlyMap<BackendId, ReadonlyMap<string, RunningServer>>
  /** Frontends that somebody has disabled or shut down. */
  readonly closed: ReadonlySet<string>
  /** But seats.map. */
  readonly maps: ReadonlyMap<string, ReadonlyMap<string, string>>
}

/** Of one key of a map; null: it is not there. */
export interface EntryChange {
  readonly from: string | null
  readonly to: string | null
}

/** A change that the runtime API can make without a reload. */
export type Step =
  | { readonly do: 'seat'; readonly backend: BackendId /** Name of the section it gets. */; readonly spare: string }
  | { readonly do: 'add'; readonly backend: BackendId; readonly section: SectionOptions; readonly server: Server }
  | { readonly do: 'weigh'; readonly backend: BackendId; readonly server: string; readonly weight: number }
  | { readonly do: 'state'; readonly backend: BackendId; readonly server: string; readonly state: ServerState }
  | {
      readonly do: 'limit'
      readonly backend: BackendId
      readonly server: string
      /** Null: no limit. */
      readonly maxconn: number | null
      /** What its words are then. */
      readonly words: string
    }
  | {
      /** Back to the address it is named by. */ readonly do: 'readdress'
      readonly backend: BackendId
      readonly server: string
    }
  | {
      readonly do: 'map'
      readonly file: string
      readonly changes: ReadonlyMap<string, EntryChange>
    }
  | { /** Takes connections again. */ readonly do: 'open'; readonly frontend: string }
  | { /** Ends what still runs on it. */ readonly do: 'shutdown'; readonly backend: BackendId; readonly server: string }
  | {
      /** Refused while anything runs on it. */ readonly do: 'delete'
      readonly backend: BackendId
      readonly server: string
    }

/** Why a reload is needed; stable words for log, API and metrics, with the section it is about. */
export interface ReloadReason {
  readonly code:
    | 'not-ours'
    | 'global'
    | 'new-backend'
    | 'section'
    | 'server'
    | 'refused'
    | 'in-spare'
    | 'gone-backend'
    | 'spares'
  readonly subject: string
}

/** All parts may be present: steps go at once, the reload when its pacing allows. Nothing to do: all are empty. */
export interface Plan {
  readonly steps: readonly Step[]
  /** Servers that are there and not wanted: no new requests, and gone when nothing runs on them any more. */
  readonly leaving: readonly { readonly backend: BackendId; readonly server: string }[]
  readonly reload: readonly ReloadReason[]
}

// ---------------------------------------------------------------------------------------------- history

/** Semantic difference of two models: what a person would say has changed. */
export interface ModelDiff {
  readonly routes: {
    readonly added: readonly string[]
    readonly removed: readonly string[]
    readonly changed: readonly string[]
  }
  /** `backend/server`. */
  readonly servers: {
    readonly added: readonly string[]
    readonly removed: readonly string[]
    readonly changed: readonly string[]
  }
  readonly backends: {
    readonly added: readonly string[]
    readonly removed: readonly string[]
    readonly changed: readonly string[]
  }
}

export type RevisionAction = 'runtime' | 'reload' | 'held' | 'rejected'

/** One line of the journal. */
export interface RevisionRecord {
  readonly number: number
  readonly hash: string
  readonly routesHash: string
  /** Unix epoch. */
  readonly at: Ms
  readonly action: RevisionAction
  /** Of the reload, or what refused it. */
  readonly reasons: readonly string[]
  /** What set it off: `catalog`, `docker`, `weave`, `templates`, `settings`, `start`, `time`. */
  readonly cause: readonly string[]
  readonly diff: ModelDiff
}
