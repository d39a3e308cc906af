import type { Container, Engine, Ms } from '../../types.ts'

/** The containers of one engine as last heard, those it removed a while ago included. */
export interface ContainerTable {
  /** The same object until something has changed. */
  readonly view: () => Engine
  readonly get: (id: string) => Container | undefined
  /** A container that did not change keeps its object. */
  readonly put: (container: Container) => void
  readonly markDead: (id: string) => void
  /** The engine knows the container no more: it stays as not running, so that whatever it served is known to be dead. */
  readonly bury: (id: string, at: Ms) => void
  readonly isBuried: (id: string) => boolean
  /** Forgets the removed ones beyond the limits. */
  readonly prune: (now: Ms) => void
}

export interface TombstoneLimits {
  readonly most: number
  readonly age: Ms
}

export function containerTable(limits: TombstoneLimits): ContainerTable {
  const containers = new Map<string, Container>()
  /** Oldest first. */
  const buried = new Map<string, Ms>()
  let view: Engine | null = new Map()

  function put(container: Container): void {
    buried.delete(container.id)
    const known = containers.get(container.id)
    if (known !== undefined && isSame(known, container)) return
    containers.set(container.id, container)
    view = null
  }
  function markDead(id: string): void {
    const known = containers.get(id)
    if (known?.running !== true) return
    containers.set(id, { ...known, running: false })
    view = null
  }

  return {
    view: () => {
      view ??= new Map(containers)
      return view
    },
    get: (id) => containers.get(id),
    put,
    markDead,
    bury: (id, at) => {
      if (!containers.has(id) || buried.has(id)) return
      markDead(id)
      buried.set(id, at)
    },
    isBuried: (id) => buried.has(id),
    prune: (now) => {
      for (const [id, at] of buried) {
        if (buried.size <= limits.most && now - at <= limits.age) break
        buried.delete(id)
        containers.delete(id)
        view = null
      }
    },
  }
}

function isSame(a: Container, b: Container): boolean {
  return JSON.stringify(a) === JSON.stringify(b)
}
