// Is a proved revision running in HAProxy? Asks on the control socket: it needs no token, and is at its place wherever
// `status.listen` may be.
import { get } from 'node:http'

const { HEDDLE_CONTROL_SOCKET: own = 'auto', HEDDLE_HAPROXY_DIRECTORY: directory } = process.env
const socketPath = own === 'auto' || own === '' ? `${directory || '/var/lib/heddle'}/heddle.sock` : own

get({ socketPath, path: '/readyz', timeout: 2000 }, (answer) => {
  process.exitCode = answer.statusCode === 200 ? 0 : 1
  answer.pipe(process.stdout)
})
  .on('timeout', function giveUp() {
    this.destroy(new Error('no answer within 2 s'))
  })
  .on('error', ({ message }) => {
    process.exitCode = 1
    console.log(message)
  })
