//! Parses the addresses that a node dials: `host`, `host:port`, `[v6]:port` or a bare IPv6 address.
//! Configurations and dials use it. It resolves no names.

use std::net::IpAddr;

/// Splits an address into host and port; the port is `default` if the address has none.
pub(crate) fn split(text: &str, default: u16) -> Result<(&str, u16), &'static str> {
    let number = |digits: &str| match digits.parse() {
        Ok(0) | Err(_) => Err("the port must be a number from 1 to 65535"),
        Ok(port) => Ok(port),
    };
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or("the ']' is missing")?;
        match rest.strip_prefix(':') {
            Some(digits) => (host, number(digits)?),
            None if rest.is_empty() => (host, default),
            None => return Err("only ':' and a port may follow ']'"),
        }
    } else if text.parse::<IpAddr>().is_ok() {
        (text, default)
    } else {
        match text.rsplit_once(':') {
            Some((host, _)) if host.contains(':') => {
                return Err("write an IPv6 address with a port as [v6]:port");
            }
            Some((host, digits)) => (host, number(digits)?),
            None => (text, default),
        }
    };
    if host.is_empty() {
        return Err("the host is missing");
    }
    if port == 0 {
        return Err("the port is missing, and this node has none to use instead (its port is 0)");
    }
    Ok((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_leave_the_port_out() {
        assert_eq!(split("host", 9), Ok(("host", 9)));
        assert_eq!(split("host:1", 9), Ok(("host", 1)));
        assert_eq!(split("10.0.0.1:1", 9), Ok(("10.0.0.1", 1)));
        assert_eq!(split("[::1]:1", 9), Ok(("::1", 1)));
        assert_eq!(split("[::1]", 9), Ok(("::1", 9)));
        assert_eq!(split("::1", 9), Ok(("::1", 9)));
    }

    #[test]
    fn a_text_that_is_no_address_is_an_error() {
        for text in ["", ":1", "host:", "host:0", "host:x", "host:65536", "[::1", "[::1]x", "a:b:1"]
        {
            assert!(split(text, 9).is_err(), "{text:?}");
        }
        assert!(split("host", 0).is_err());
    }
}
