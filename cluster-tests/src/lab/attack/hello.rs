//! A TLS 1.3 ClientHello as a stranger would send it, made by hand so that the same seed gives the same bytes (RFC 8446, 4.1.2).

use super::mutate::noise;
use crate::sim::dice::Dice;

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;

/// `bytes` behind their length, of so many bytes.
fn counted(width: usize, bytes: &[u8]) -> Vec<u8> {
    let length = (bytes.len() as u32).to_be_bytes();
    [&length[4 - width..], bytes].concat()
}

fn extension(kind: u16, body: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &counted(2, body)].concat()
}

/// A TLS record.
pub fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind, 3, 3][..], &counted(2, body)].concat()
}

/// The record with the ClientHello.
pub fn client_hello(dice: &mut Dice, server_name: &str) -> Vec<u8> {
    let name = [&[0][..], &counted(2, server_name.as_bytes())].concat();
    // Every 32 bytes are a public key of X25519.
    let share = [&[0, 0x1d][..], &counted(2, &noise(dice, 32))].concat();
    let extensions = [
        extension(0, &counted(2, &name)),
        // supported_groups: x25519
        extension(10, &counted(2, &[0, 0x1d])),
        // signature_algorithms: ed25519, ecdsa_secp256r1_sha256
        extension(13, &counted(2, &[8, 7, 4, 3])),
        // supported_versions: TLS 1.3
        extension(43, &counted(1, &[3, 4])),
        extension(51, &counted(2, &share)),
    ]
    .concat();
    let mut body = vec![3, 3];
    body.extend(noise(dice, 32));
    body.extend(counted(1, &noise(dice, 32)));
    // TLS_AES_256_GCM_SHA384, TLS_AES_128_GCM_SHA256, TLS_CHACHA20_POLY1305_SHA256
    body.extend(counted(2, &[0x13, 2, 0x13, 1, 0x13, 3]));
    // No compression.
    body.extend([1, 0]);
    body.extend(counted(2, &extensions));
    record(HANDSHAKE, &[&[CLIENT_HELLO][..], &counted(3, &body)].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::server::Acceptor;

    #[test]
    fn a_tls_library_takes_it_for_a_client_hello() {
        let hello = client_hello(&mut Dice::new(1), "node.lvs-agent");
        let mut acceptor = Acceptor::default();
        acceptor.read_tls(&mut &hello[..]).unwrap();
        let accepted = acceptor.accept().map_err(|(error, _)| error).unwrap().expect("a whole ClientHello");
        assert_eq!(accepted.client_hello().server_name(), Some("node.lvs-agent"));
        assert_eq!(hello, client_hello(&mut Dice::new(1), "node.lvs-agent"));
    }
}
