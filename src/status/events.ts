import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'
import type { State } from '../control/state.ts'
import type { Ms } from '../types.ts'
import { stateEventOf, statusView } from './api.ts'

export interface EventStreams {
  /**
   * Answers with server-sent events until the client or `close` ends it: `status` at once, `state` on each change,
   * `ping` now and then. False, and nothing written: there are too many streams already.
   */
  readonly open: (response: ServerResponse, headers: OutgoingHttpHeaders) => boolean
  readonly count: () => number
  readonly close: () => void
}

export interface EventStreamSettings {
  readonly state: () => State
  readonly subscribe: (listener: () => void) => () => void
  readonly now: () => Ms
  readonly most: number
  readonly pingEvery: Ms
  /** Bytes that a client may leave unread before it is cut off; it can come back and begin anew. */
  readonly mostUnread: number
}

/** One reading of the state serves all streams; a stream that can't be written to is dropped, never waited for. */
export function createEventStreams(settings: EventStreamSettings): EventStreams {
  const { state, subscribe, now, most, pingEvery, mostUnread } = settings
  const streams = new Set<ServerResponse>()
  let sent: { readonly text: string; readonly state: State } | null = null

  const write = (stream: ServerResponse, text: string): void => {
    if (stream.writableLength > mostUnread) stream.destroy()
    else stream.write(text)
  }
  const writeAll = (text: string): void => {
    for (const stream of streams) write(stream, text)
  }
  const unsubscribe = subscribe(() => {
    if (streams.size === 0) return
    const newest = state()
    const text = print('state', stateEventOf(newest))
    const isSame =
      sent?.text === text && sent.state.decision === newest.decision && sent.state.history === newest.history
    sent = { text, state: newest }
    if (!isSame) writeAll(text)
  })
  const pings = setInterval(() => writeAll(print('ping', {})), pingEvery)
  pings.unref()

  return {
    open(response, headers) {
      if (streams.size >= most) return false
      streams.add(response)
      response.once('close', () => streams.delete(response))
      response.writeHead(200, { ...headers, 'content-type': 'text/event-stream; charset=utf-8' })
      response.write(`retry: 2000\n${print('status', statusView(state(), now()))}`)
      return true
    },
    count: () => streams.size,
    close() {
      clearInterval(pings)
      unsubscribe()
      for (const stream of streams) stream.end()
    },
  }
}

/** JSON has no line breaks of its own, so the data is always one line. */
function print(event: 'status' | 'state' | 'ping', data: unknown): string {
  return `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`
}
