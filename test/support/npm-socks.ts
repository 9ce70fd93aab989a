/** node npm-socks.js PROXY_HOST PROXY_PORT TYPE HOST PORT TEXT [USER PASSWORD]: sends TEXT through the npm package `socks`, prints what comes back. */
import { SocksClient } from 'socks';

const [proxyHost = '', proxyPort = '', type = '5', host = '', port = '', text = '', user, password] =
  process.argv.slice(2);

const { socket } = await SocksClient.createConnection({
  proxy: {
    host: proxyHost,
    port: Number(proxyPort),
    type: type === '4' ? 4 : 5,
    ...(user === undefined || password === undefined ? {} : { userId: user, password }),
  },
  command: 'connect',
  destination: { host, port: Number(port) },
});
socket.pipe(process.stdout);
socket.end(text);
