//! What `--server` needs: our certificate and key, and whom to trust, from files.

use crate::{
    api::Server,
    base::errors::with_sources,
    cli::{Exit, Failure, args::RemoteArgs},
    link::{
        io::files,
        tls::{Credentials, Presented, Trust},
    },
};
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

pub(super) fn server(name: &str, args: &RemoteArgs) -> Result<Server, Failure> {
    let invalid = |line: String| Failure::new(Exit::Invalid, line);
    let Some(cert) = &args.cert else {
        let line = "--server needs a certificate: --cert FILE, as `lvs-agent identity create NAME` on a director writes it";
        return Err(invalid(line.to_owned()));
    };
    let unusable = |error: files::FileError| invalid(with_sources(&error));
    let (chain, key) = files::external(cert, args.key.as_ref().unwrap_or(cert)).map_err(unusable)?;
    let (roots, chain): (Vec<_>, Vec<_>) = chain.into_iter().enumerate().partition(|(at, der)| *at > 0 && is_root(der));
    let plain = |numbered: Vec<(usize, Vec<u8>)>| numbered.into_iter().map(|(_, der)| der).collect::<Vec<_>>();
    let (roots, chain) = (plain(roots), plain(chain));
    let trusted = match &args.ca {
        Some(file) => files::external_authorities(file).map_err(unusable)?,
        None if roots.is_empty() => {
            let line = format!("{} has no ca certificate in it: name the cluster's with --ca FILE", cert.display());
            return Err(invalid(line));
        }
        None => roots,
    };
    let presented = Presented { chain, key };
    let credentials = Credentials::new(Some(presented), Trust::Authorities(trusted));
    let credentials = credentials.map_err(|error| invalid(format!("{}: {error}", cert.display())))?;
    Ok(Server { name: name.to_owned(), credentials })
}

/// A CA that nobody stands above.
fn is_root(der: &[u8]) -> bool {
    X509Certificate::from_der(der).is_ok_and(|(_, x509)| x509.is_ca() && x509.subject().as_raw() == x509.issuer().as_raw())
}
